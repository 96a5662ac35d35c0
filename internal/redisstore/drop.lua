-- Removes a dead letter and its payload.
-- KEYS  1 rec  2 pay  3 dead  4 figures
-- ARGV  1 id  2 target  3 how long a dead letter is kept, ms
-- Returns 1 when it was one, otherwise 0.
-- Invariant: the record lives as long as its last dead letter, and no longer than it
-- would have without this one.
-- Needs count.lua and finish.lua.
if redis.call('ZREM', KEYS[3], ARGV[1] .. ':' .. ARGV[2]) == 0 then return 0 end
add(KEYS[4], 'd:' .. ARGV[2], -1)
redis.call('HDEL', KEYS[2], ARGV[2])
local fixed = redis.call('HMGET', KEYS[1], 'x', 'o')
local left = redis.call('PTTL', KEYS[1])
if fixed[1] and fixed[2] == '0' and left > 0 then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local retention = tonumber(string.match(fixed[1], '^(%d+) '))
  local other = dead_until(KEYS[1], KEYS[3], ARGV[1], tonumber(ARGV[3])) - now
  left = string.format('%d', math.min(left, math.max(retention, other)))
  redis.call('PEXPIRE', KEYS[1], left)
  redis.call('PEXPIRE', KEYS[2], left)
end
return 1
