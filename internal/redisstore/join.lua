-- Puts a delivery on the list of the batch that is collecting, or begins one.
-- KEYS  1 rec of the candidate  2 gathering  3 due  4 open
-- ARGV  1 tracking id of the delivery  2 target  3 id of the candidate  4 field in gathering,
--       and in open  5 its target, as in fixed.go  6 x  7 value  8 sent at the latest, ms  9 how many make it full
--       10 bytes of the record that joins  11 how many bytes make it full, 0: any number
-- Returns {id of the batch, seq of its delivery, '1' if it was begun, '1' if it is full now}.
-- Invariant: a batch that is collecting stands in gathering and has a row, like every
-- delivery that is not final. Nobody joins one that does not stand there; one that is full
-- does not.
-- The keys of the batch that is collecting lie in the same slot; only gathering names it.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local shard = string.match(KEYS[1], '^(.-)rec:')
local field, batch, began = 't:' .. ARGV[2], redis.call('HGET', KEYS[2], ARGV[4]), '0'
if batch and redis.call('EXISTS', shard .. 'rec:' .. batch, shard .. 'members:' .. batch) == 0 then batch = nil end
-- A full Redis refuses a script's first write when it may need memory. Only what is sent
-- frees any, so the first write is one that needs none: there is no such row.
redis.call('ZREM', KEYS[3], '')
if not batch then
  batch, began = ARGV[3], '1'
  redis.call('HSET', KEYS[1], 'l0', ARGV[5], 'a', string.format('%d', now), 'o', 1, 'x', ARGV[6], 'c', ARGV[4], field, ARGV[7])
  redis.call('ZADD', KEYS[3], ARGV[8], batch .. ':' .. ARGV[2])
  redis.call('HINCRBY', KEYS[4], ARGV[4], 1)
  redis.call('HSET', KEYS[2], ARGV[4], batch)
end
local record, members = shard .. 'rec:' .. batch, shard .. 'members:' .. batch
local seq = string.match(redis.call('HGET', record, field), '^(%d+) ')
local count = redis.call('ZCARD', members)
if redis.call('ZADD', members, 'NX', count, ARGV[1]) == 0 then return {batch, seq, '0', '0'} end
local bytes, most = redis.call('HINCRBY', record, 'b', ARGV[10]), tonumber(ARGV[11])
if count + 1 < tonumber(ARGV[9]) and (most == 0 or bytes < most) then return {batch, seq, began, '0'} end
redis.call('HDEL', KEYS[2], ARGV[4])
return {batch, seq, began, '1'}
