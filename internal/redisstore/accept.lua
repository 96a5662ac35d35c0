-- Records one accepted request: all of it or nothing.
-- KEYS  1 rec  2 pay  3 open  [4 idem]  then queued:<target> of each delivery that is not final
-- ARGV  1 id  2 meta  3 x  4 idem row or ''  5 number of deliveries not final
--       then for each delivery: target, value, payload or '', open field or '' when it is final
-- Returns '' when recorded (now or by an earlier sending of the same id), otherwise the
-- row of the request that already has the idempotency key.
-- Invariant: a record exists together with its payloads, due rows, counts and idem row.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('EXISTS', KEYS[1]) == 1 then return '' end
local next_key = 4
if ARGV[4] ~= '' then
  next_key = 5
  local taken = redis.call('GET', KEYS[4])
  if taken then return taken end
end
-- The first write is one that a full Redis refuses: then nothing at all is written.
local fields = {'m', ARGV[2], 'a', string.format('%d', now), 'o', ARGV[5], 'x', ARGV[3]}
local payloads = {}
for i = 6, #ARGV, 4 do
  fields[#fields + 1] = 't:' .. ARGV[i]
  fields[#fields + 1] = ARGV[i + 1]
  if ARGV[i + 2] ~= '' then
    payloads[#payloads + 1] = ARGV[i]
    payloads[#payloads + 1] = ARGV[i + 2]
  end
end
redis.call('HSET', KEYS[1], unpack(fields))
if #payloads > 0 then redis.call('HSET', KEYS[2], unpack(payloads)) end
for i = 6, #ARGV, 4 do
  if ARGV[i + 3] ~= '' then
    redis.call('HINCRBY', KEYS[3], ARGV[i + 3], 1)
    redis.call('ZADD', KEYS[next_key], now, ARGV[1])
    next_key = next_key + 1
  end
end
if ARGV[4] ~= '' then redis.call('SET', KEYS[4], ARGV[4]) end
if ARGV[5] == '0' then
  local retention, idem_for = string.match(ARGV[3], '^(%d+) (%d+)')
  redis.call('PEXPIRE', KEYS[1], retention)
  redis.call('PEXPIRE', KEYS[2], retention)
  if ARGV[4] ~= '' then redis.call('PEXPIRE', KEYS[4], idem_for) end
end
return ''
