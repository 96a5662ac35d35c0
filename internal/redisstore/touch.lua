-- Counts a queued delivery as queued only from some time on, unless it has moved.
-- KEYS  1 rec  2 its row: queued:<target>, or another of its lanes
-- ARGV  1 id  2 target  3 seq  4 letter  5 from when on, ms
-- Returns 1 if it did, else 0.
-- Invariant: as in count.lua; a time is never lowered.
-- Needs count.lua.
local field = 't:' .. ARGV[2]
local value, accepted = unpack(redis.call('HMGET', KEYS[1], field, 'a'))
if not value then return 0 end
local seq, letter, since = string.match(value, '^(%d+) (%a) (%S+) ')
if seq ~= ARGV[3] or letter ~= ARGV[4] or (tonumber(since) or tonumber(accepted)) >= tonumber(ARGV[5]) then return 0 end
redis.call('HSET', KEYS[1], field, queued_at(bare(value), ARGV[5]))
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('LREM', KEYS[2], 1, ARGV[1])
return 1
