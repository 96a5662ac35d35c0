-- Puts deliveries of one target and plan on the list of the batch that is collecting, or
-- begins one; whoever comes after one is full begins the next.
-- KEYS  1 gathering  2 due  3 open  then rec of each one's candidate
-- ARGV  1 target  2 field in gathering, and in open  3 its target, as in fixed.go  4 x  5 value
--       6 sent at the latest, ms  7 how many make it full  8 how many bytes make it full, 0: any number
--       then of each its tracking id, the id of its candidate, its bytes, and the traceparent of its
--       candidate or ''
-- Returns of each: id of the batch, seq of its delivery, '1' if it was begun, '1' if it is full now,
-- and its place in it, from 1.
-- Invariant: a batch that is collecting stands in gathering and has a row, like every
-- delivery that is not final. Nobody joins one that does not stand there; one that is full
-- does not.
-- The keys of the batch that is collecting lie in the same slot; only gathering names it.
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local shard = string.match(KEYS[1], '^(.-)gathering')
local field, full, most = 't:' .. ARGV[1], tonumber(ARGV[7]), tonumber(ARGV[8])
local out, batch, record, members, seq, count = {}, nil, nil, nil, nil, nil

local function use(id)
  batch, record, members = id, shard .. 'rec:' .. id, shard .. 'members:' .. id
end

local found = redis.call('HGET', KEYS[1], ARGV[2])
if found then
  use(found)
  if redis.call('EXISTS', record, members) == 0 then
    batch = nil
  else
    seq, count = string.match(redis.call('HGET', record, field), '^(%d+) '), redis.call('ZCARD', members)
  end
end
-- A full Redis refuses a script's first write when it may need memory. Only what is sent
-- frees any, so the first write is one that needs none: there is no such row.
redis.call('ZREM', KEYS[2], '')
for i = 9, #ARGV, 4 do
  local began, is_full = '0', '0'
  if not batch then
    use(ARGV[i + 1])
    began, seq, count = '1', string.match(ARGV[5], '^(%d+) '), 0
    redis.call('HSET', record, 'l0', ARGV[3], 'a', now, 'o', 1, 'x', ARGV[4], 'c', ARGV[2], field, ARGV[5])
    if ARGV[i + 3] ~= '' then redis.call('HSET', record, 'w', ARGV[i + 3]) end
    redis.call('ZADD', KEYS[2], ARGV[6], batch .. ':' .. ARGV[1])
    redis.call('HINCRBY', KEYS[3], ARGV[2], 1)
    redis.call('HSET', KEYS[1], ARGV[2], batch)
  end
  local joined, place = batch, count
  if redis.call('ZADD', members, 'NX', count, ARGV[i]) == 1 then
    count = count + 1
    local bytes = redis.call('HINCRBY', record, 'b', ARGV[i + 2])
    if count >= full or (most > 0 and bytes >= most) then
      redis.call('HDEL', KEYS[1], ARGV[2])
      is_full, batch = '1', nil
    end
  else
    place = redis.call('ZSCORE', members, ARGV[i])
  end
  out[#out + 1], out[#out + 2], out[#out + 3], out[#out + 4], out[#out + 5] = joined, seq, began, is_full, tostring(place + 1)
end
return out
