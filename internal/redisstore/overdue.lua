-- Lists rows whose time has passed, with their deliveries.
-- KEYS  due and running of one or more shards (on a cluster: of one)
-- ARGV  1 grace, ms  2 limit
-- Returns {now ms, member, score, value, member, score, value, …}; a row whose record is
-- gone is removed here: nothing is left to be done for it.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local out = {string.format('%d', now)}
local left = tonumber(ARGV[2])
for _, key in ipairs(present()) do
  if left <= 0 then break end
  local rows = redis.call('ZRANGEBYSCORE', key, '-inf', now - ARGV[1], 'WITHSCORES', 'LIMIT', 0, left)
  local shard = string.match(key, '^(.-})') .. ':'
  for i = 1, #rows, 2 do
    local id, target = string.match(rows[i], '^([^:]+):(.+)$')
    local value = id and redis.call('HGET', shard .. 'rec:' .. id, 't:' .. target)
    if value then
      out[#out + 1] = rows[i]
      out[#out + 1] = rows[i + 1]
      out[#out + 1] = value
      left = left - 1
    else
      redis.call('ZREM', key, rows[i])
    end
  end
end
return out
