-- Has a batch of a target under way, provided that there is room; else it waits in line.
-- KEYS  1 flight  2 waiting  3 rec of the batch
-- ARGV  1 id  2 target  3 how many may be under way  4 kept, ms
-- Returns 1 when the batch is under way.
-- Invariant: flight lists batches that have begun, and perhaps some whose end was not told: a
-- worker died between its two writes. Those are found out here, when there is no room.
-- Their records lie in the same slot; only flight names them.
local id, most = ARGV[1], tonumber(ARGV[3])
redis.call('ZREM', KEYS[2], id)
if redis.call('ZSCORE', KEYS[1], id) then return 1 end
if redis.call('ZCARD', KEYS[1]) >= most then
  local shard = string.match(KEYS[1], '^(.-)flight:')
  for _, other in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local value = redis.call('HGET', shard .. 'rec:' .. other, 't:' .. ARGV[2])
    if not value or string.match(value, '^%d+ (%a)') == 'f' then redis.call('ZREM', KEYS[1], other) end
  end
end
local since = redis.call('HGET', KEYS[3], 'a') or 0
local room = redis.call('ZCARD', KEYS[1]) < most
local key = room and KEYS[1] or KEYS[2]
redis.call('ZADD', key, since, id)
redis.call('PEXPIRE', key, ARGV[4])
return room and 1 or 0
