-- Gives one run the delivery: loading is claiming.
-- KEYS  1 rec  2 pay  3 due  4 queued:<target>  5 tenants  6 running
-- ARGV  1 id  2 target  3 seq of the task  4 token of the run  5 hold, ms
-- Returns {'gone'} | {'stale', value} | {'held'}
--         | {'claimed', now ms, value, payload or '', fixed fields as in fixed.go, each or ''}
-- Invariant: at most one token can change the delivery, and while it may, its row in running
-- says until when it should have ended: that is the only row it has then. A claim that is over its
-- time is still held: only raising the sequence number takes it away, which fences the
-- old run. A claim repeated with the same token succeeds again. What a batch holds is held.
-- With its first claim a delivery is no longer counted as new.
-- Needs count.lua.
local field = 't:' .. ARGV[2]
local record = redis.call('HMGET', KEYS[1], field, 'a', 'n', 'r', 'p', 'w', 'u')
local value = record[1]
if not value then return {'gone'} end
local _, head, seq, phase, token = string.find(value, '^(%d+) (%a) (%S+) ')
if phase == 'f' or seq ~= ARGV[3] then return {'stale', value} end
if phase == 'g' or (phase == 'r' and token ~= ARGV[4]) then return {'held'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local member, row = ARGV[1] .. ':' .. ARGV[2], queued_row(KEYS[4], phase)
if row ~= KEYS[4] then here(row) end
-- The first write is one that a full Redis lets pass, as in apply.lua: what is queued must
-- get through, for only its end frees memory. What a run comes to can be recorded then.
if is_queued(phase) then off_row(row, ARGV[1], value, record[2], now) else redis.call('ZREM', KEYS[3], member) end
if phase ~= 'r' then
  value = seq .. ' r ' .. ARGV[4] .. ' ' .. string.sub(value, head + 1)
  redis.call('HSET', KEYS[1], field, value)
  moved(KEYS[5], record[3], ARGV[2], phase, 'r')
end
redis.call('ZADD', KEYS[6], now + ARGV[5], member)
local out = {'claimed', string.format('%d', now), value, redis.call('HGET', KEYS[2], ARGV[2]) or ''}
for i = 2, 7 do out[i + 3] = record[i] or '' end
return out
