-- Ends the collecting of a batch.
-- KEYS  1 rec  2 gathering  3 members
-- ARGV  1 id  2 place of the last one that is asked for, from 1; 0: all
-- Returns the tracking ids on its list, in the order in which they joined; then how many joined
-- when this call was the one that ended the collecting, or 0.
local field, joined = redis.call('HGET', KEYS[1], 'c'), 0
if field then
  -- The first write is one that a full Redis lets pass.
  redis.call('HDEL', KEYS[1], 'c')
  if redis.call('HGET', KEYS[2], field) == ARGV[1] then redis.call('HDEL', KEYS[2], field) end
  joined = redis.call('ZCARD', KEYS[3])
end
local ids = ARGV[2] == '0' and redis.call('ZRANGE', KEYS[3], 0, -1) or redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[2])
ids[#ids + 1] = tostring(joined)
return ids
