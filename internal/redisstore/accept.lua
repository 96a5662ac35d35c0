-- Records one accepted request: all of it or nothing.
-- KEYS  1 rec  2 pay  3 open  4 tenants  [5 idem]  then queued:<target> of each delivery that is not final
-- ARGV  1 id  2 meta  3 x  4 idem row or ''  5 number of deliveries not final  6 tenant
--       then for each delivery: target, value, payload or '', open field or '' when it is final,
--       how many of the tenant's in this shard may be new before the next goes to bulk (0: any number)
-- Returns {'ok', target, …} when recorded (now or by an earlier sending of the same id),
-- with the targets whose task belongs into bulk; otherwise {'taken', row} with the row of
-- the request that already has the idempotency key.
-- Invariant: a record exists together with its payloads, due rows, counts and idem row.
-- Needs count.lua.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local bulk = {'ok'}
if redis.call('EXISTS', KEYS[1]) == 1 then
  for i = 7, #ARGV, 5 do
    local value = redis.call('HGET', KEYS[1], 't:' .. ARGV[i])
    if value and string.find(value, '^%d+ b ') then bulk[#bulk + 1] = ARGV[i] end
  end
  return bulk
end
local next_key = 4
if ARGV[4] ~= '' then
  next_key = 5
  local taken = redis.call('GET', KEYS[5])
  if taken then return {'taken', taken} end
end
-- The tenant's counts, all in one reading and one writing.
local names, counts, letters = {}, {}, {}
for i = 7, #ARGV, 5 do
  if ARGV[i + 3] ~= '' then
    names[#names + 1] = 'o:' .. ARGV[i] .. ':' .. ARGV[6]
    names[#names + 1] = 'n:' .. ARGV[i] .. ':' .. ARGV[6]
  end
end
if #names > 0 then
  local before = redis.call('HMGET', KEYS[4], unpack(names))
  for i, name in ipairs(names) do
    counts[2 * i - 1], counts[2 * i] = name, (before[i] or 0) + 1
  end
  local rows, at = {KEYS[4]}, 0
  for i = 7, #ARGV, 5 do
    if ARGV[i + 3] ~= '' then
      at = at + 1
      local share = tonumber(ARGV[i + 4])
      letters[i] = share > 0 and counts[4 * at] > share and 'b' or 'n'
      if letters[i] == 'b' then rows[#rows + 1] = queued_row(KEYS[next_key + at], 'b') end
    end
  end
  if #rows > 1 then here(unpack(rows)) end
  -- The first write, this or the next, is one that a full Redis refuses: then nothing at
  -- all is written.
  redis.call('HSET', KEYS[4], unpack(counts))
end
local fields = {'m', ARGV[2], 'a', string.format('%d', now), 'o', ARGV[5], 'x', ARGV[3], 'n', ARGV[6]}
local payloads, open = {}, 0
for i = 7, #ARGV, 5 do
  local target, value = ARGV[i], ARGV[i + 1]
  if ARGV[i + 3] ~= '' then
    open = open + 1
    if letters[i] == 'b' then
      value = string.gsub(value, '^(%d+) n ', '%1 b ', 1)
      bulk[#bulk + 1] = target
    end
    redis.call('HINCRBY', KEYS[3], ARGV[i + 3], 1)
    redis.call('ZADD', queued_row(KEYS[next_key + open], letters[i]), now, ARGV[1])
  end
  fields[#fields + 1] = 't:' .. target
  fields[#fields + 1] = value
  if ARGV[i + 2] ~= '' then
    payloads[#payloads + 1] = target
    payloads[#payloads + 1] = ARGV[i + 2]
  end
end
redis.call('HSET', KEYS[1], unpack(fields))
if #payloads > 0 then redis.call('HSET', KEYS[2], unpack(payloads)) end
if ARGV[4] ~= '' then redis.call('SET', KEYS[5], ARGV[4]) end
if ARGV[5] == '0' then
  local retention, idem_for = string.match(ARGV[3], '^(%d+) (%d+)')
  redis.call('PEXPIRE', KEYS[1], retention)
  redis.call('PEXPIRE', KEYS[2], retention)
  if ARGV[4] ~= '' then redis.call('PEXPIRE', KEYS[5], idem_for) end
end
return bulk
