-- Gives a sign of life of a worker process.
-- KEYS  1 owners
-- ARGV  1 owner
-- Returns how many it has given.
-- The first write is one that a full Redis lets pass (there is no such field): a process
-- that could not show life would end its runs, and nothing would free memory any more.
redis.call('HDEL', KEYS[1], '')
return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
