-- Takes a batch that has ended off the list of those under way.
-- KEYS  1 flight  2 waiting
-- ARGV  1 id
-- Returns the id of the batch that has waited longest for room; nothing when none has.
-- Should it not be woken, it stands in line anew when its own time has come.
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('ZPOPMIN', KEYS[2])[1] or ''
