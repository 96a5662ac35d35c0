-- Enters a line, leaves it, or looks who stands there.
-- KEYS  1 line
-- ARGV  1 tracking id  2 'enter' | 'leave' | 'look'  3 how many of each end are told of
--       4 how long a line is kept that nobody enters any more, ms
-- Returns {now ms, how many stand before it or -1, when it entered, ms or 0,
--          how many of the front follow, each as id and when it entered, ms, then the last ones, the last one first}.
-- A score is the time of entering, or more by as much as it takes to be the largest: so it is the order, too.
-- Invariant: nobody enters before one who stands there. Repeated, it changes nothing.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local line, id, seen = KEYS[1], ARGV[1], tonumber(ARGV[3])
if ARGV[2] == 'leave' then
  -- When this empties the line it is not touched again.
  local length = redis.call('ZCARD', line)
  if redis.call('ZREM', line, id) >= length then return {string.format('%d', now), '-1', '0', '0'} end
end
local score = redis.call('ZSCORE', line, id)
if ARGV[2] == 'enter' and not score then
  -- The first write needs no memory: whoever was accepted must find its place also in a full Redis.
  redis.call('ZREM', line, '')
  local last = redis.call('ZRANGE', line, -1, -1, 'WITHSCORES')
  score = string.format('%d', math.max(now, (tonumber(last[2]) or 0) + 1))
  redis.call('ZADD', line, score, id)
end
-- A place whose request was never recorded is noticed by whoever comes behind it. Nobody may.
if ARGV[2] == 'enter' then redis.call('PEXPIRE', line, ARGV[4]) end
local out = {string.format('%d', now), tostring(score and redis.call('ZRANK', line, id) or -1), score or '0'}
local front = redis.call('ZRANGE', line, 0, seen - 1, 'WITHSCORES')
out[4] = tostring(#front / 2)
for _, value in ipairs(front) do out[#out + 1] = value end
for _, other in ipairs(redis.call('ZREVRANGE', line, 0, seen - 1)) do out[#out + 1] = other end
return out
