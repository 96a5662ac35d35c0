-- Removes the dead letters of one shard whose time is over, with their payloads.
-- KEYS  1 dead  2 figures
-- ARGV  1 how long one is kept, ms  2 limit
-- Returns how many it removed.
-- Needs count.lua.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local rows = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now - ARGV[1]), 'LIMIT', 0, ARGV[2])
local shard = string.match(KEYS[1], '^(.-})') .. ':'
for _, row in ipairs(rows) do
  local id, target = string.match(row, '^([^:]+):(.+)$')
  if id then redis.call('HDEL', shard .. 'pay:' .. id, target) end
  unlisted(KEYS[1], row, KEYS[2], 'd:' .. (target or ''))
end
return #rows
