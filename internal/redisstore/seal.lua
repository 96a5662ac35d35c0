-- Ends the collecting of a batch.
-- KEYS  1 rec  2 gathering  3 members
-- ARGV  1 id  2 place of the last one that is asked for, from 1; 0: all
-- Returns the tracking ids on its list, in the order in which they joined.
local field = redis.call('HGET', KEYS[1], 'c')
if field and redis.call('HGET', KEYS[2], field) == ARGV[1] then redis.call('HDEL', KEYS[2], field) end
if ARGV[2] == '0' then return redis.call('ZRANGE', KEYS[3], 0, -1) end
return redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[2])
