-- Lists what runs of one process hold: few deliveries, of those that run.
-- KEYS  running of one or more shards (on a cluster: of one)
-- ARGV  1 owner  2 limit
-- Returns what overdue.lua does; a row whose record is gone is removed here, too.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local out, left = {string.format('%d', now)}, tonumber(ARGV[2])
for _, key in ipairs(present()) do
  if left <= 0 then break end
  local rows = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  local shard = string.match(key, '^(.-})') .. ':'
  for i = 1, #rows, 2 do
    local id, target = string.match(rows[i], '^([^:]+):(.+)$')
    local value = id and redis.call('HGET', shard .. 'rec:' .. id, 't:' .. target)
    if not value then
      redis.call('ZREM', key, rows[i])
    elseif left > 0 and string.match(value, '^%d+ r ([^. ]*)%.') == ARGV[1] then
      out[#out + 1] = rows[i]
      out[#out + 1] = rows[i + 1]
      out[#out + 1] = value
      left = left - 1
    end
  end
end
return out
