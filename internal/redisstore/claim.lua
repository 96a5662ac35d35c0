-- Gives one run the delivery: loading is claiming.
-- KEYS  1 rec  2 pay  3 due  4 queued:<target>  5 run:<owner of the token>
-- ARGV  1 id  2 target  3 seq of the task  4 token of the run  5 hold, ms
-- Returns {'gone'} | {'stale', value} | {'held'}
--         | {'claimed', now ms, value, meta, accepted at ms, payload or ''}
-- Invariant: at most one token can change the delivery, and while it may, the due row
-- says until when it should have ended and run:<owner> says who. A claim that is over its
-- time is still held: only raising the sequence number takes it away, which fences the
-- old run. A claim repeated with the same token succeeds again. What a batch holds is held.
-- With its first claim a delivery is no longer counted as new.
-- Needs count.lua.
local value = redis.call('HGET', KEYS[1], 't:' .. ARGV[2])
if not value then return {'gone'} end
local _, head, seq, phase, token = string.find(value, '^(%d+) (%a) (%S+) ')
if phase == 'f' or seq ~= ARGV[3] then return {'stale', value} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local member = ARGV[1] .. ':' .. ARGV[2]
if phase == 'g' or (phase == 'r' and token ~= ARGV[4]) then return {'held'} end
if redis.call('HEXISTS', KEYS[1], 'n') == 1 and phase ~= 'r' then here(tenants_of(KEYS[1])) end
-- The first write is one that a full Redis lets pass, as in apply.lua: what is queued must
-- get through, for only its end frees memory. What a run comes to can be recorded then.
redis.call('ZREM', KEYS[3], '')
if phase ~= 'r' then
  value = seq .. ' r ' .. ARGV[4] .. ' ' .. string.sub(value, head + 1)
  redis.call('HSET', KEYS[1], 't:' .. ARGV[2], value)
  moved(KEYS[1], ARGV[2], phase, 'r')
  if string.find(ARGV[4], '.', 1, true) then redis.call('ZADD', KEYS[5], now, member) end
end
redis.call('ZADD', KEYS[3], now + ARGV[5], member)
redis.call('ZREM', queued_row(KEYS[4], phase), ARGV[1])
local fixed = redis.call('HMGET', KEYS[1], 'm', 'a')
local payload = redis.call('HGET', KEYS[2], ARGV[2])
return {'claimed', string.format('%d', now), value, fixed[1], fixed[2], payload or ''}
