-- Records one accepted request: all of it or nothing.
-- KEYS  1 rec  2 pay  3 open  4 tenants  [5 idem]  then queued:<target> of each delivery that is not final
-- ARGV  1 id  2 tenant  3 retention, ms  4 idem row or ''  5 how long that is kept, ms  6 number of
--       deliveries not final  7 number of fixed fields and their values  8 when it is too late to
--       be recorded, ms, or ''; then come the fixed fields
--       then for each delivery: target, value, payload or '', open field or '' when it is final,
--       how many of the tenant's in this shard may be new before the next goes to bulk (0: any number)
-- Returns {'ok', target, …} when recorded (now or by an earlier sending of the same id),
-- with the targets whose task belongs into bulk; otherwise {'taken', row} with the row of
-- the request that already has the idempotency key, or {'late'}.
-- Invariant: a record exists together with its payloads, due rows, counts and idem row.
-- Needs count.lua.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local first, bulk = 9 + ARGV[7], {'ok'}
if redis.call('EXISTS', KEYS[1]) == 1 then
  for i = first, #ARGV, 5 do
    local value = redis.call('HGET', KEYS[1], 't:' .. ARGV[i])
    if value and string.find(value, '^%d+ b ') then bulk[#bulk + 1] = ARGV[i] end
  end
  return bulk
end
if ARGV[8] ~= '' and now > tonumber(ARGV[8]) then return {'late'} end
local next_key = 4
if ARGV[4] ~= '' then
  next_key = 5
  local taken = redis.call('GET', KEYS[5])
  if taken then return {'taken', taken} end
end
local fields = {'a', string.format('%d', now), 'o', ARGV[6], 'x', ARGV[3] .. ' ' .. ARGV[5], 'n', ARGV[2], unpack(ARGV, 9, first - 1)}
-- What is counted of the tenant, and of the targets: each in one reading and one writing.
local tenant_fields, open_fields, shares, rows, payloads = {}, {}, {}, {}, {}
for i = first, #ARGV, 5 do
  local target = ARGV[i]
  if ARGV[i + 3] ~= '' then
    local at = #open_fields + 1
    open_fields[at], shares[at] = ARGV[i + 3], tonumber(ARGV[i + 4])
    tenant_fields[2 * at - 1], tenant_fields[2 * at] = 'o:' .. target .. ':' .. ARGV[2], 'n:' .. target .. ':' .. ARGV[2]
    rows[at] = #fields + 2 -- where its value is
  end
  fields[#fields + 1], fields[#fields + 2] = 't:' .. target, ARGV[i + 1]
  if ARGV[i + 2] ~= '' then payloads[#payloads + 1], payloads[#payloads + 2] = target, ARGV[i + 2] end
end
if #rows > 0 then
  local tenant_counts, new = counted(KEYS[4], tenant_fields)
  local open_counts, moves = counted(KEYS[3], open_fields), {}
  for at, value in ipairs(rows) do
    local letter = shares[at] > 0 and new[2 * at] > shares[at] and 'b' or 'n'
    rows[at] = queued_row(KEYS[next_key + at], letter)
    if letter == 'b' then
      fields[value], bulk[#bulk + 1] = string.gsub(fields[value], '^(%d+) n ', '%1 b ', 1), string.sub(fields[value - 1], 3)
      moves[#moves + 1] = rows[at]
    end
  end
  if #moves > 0 then here(unpack(moves)) end
  -- The first write, this or the next, is one that a full Redis refuses: then nothing at
  -- all is written.
  redis.call('HSET', KEYS[4], unpack(tenant_counts))
  redis.call('HSET', KEYS[3], unpack(open_counts))
  for _, row in ipairs(rows) do redis.call('RPUSH', row, ARGV[1]) end
end
redis.call('HSET', KEYS[1], unpack(fields))
if #payloads > 0 then redis.call('HSET', KEYS[2], unpack(payloads)) end
if ARGV[4] ~= '' then redis.call('SET', KEYS[5], ARGV[4]) end
if ARGV[6] == '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  if ARGV[4] ~= '' then redis.call('PEXPIRE', KEYS[5], ARGV[5]) end
end
return bulk
