-- Tells how long the oldest of the jobs that are waited for has been.
-- KEYS  jobs:<target>, of one or more targets and shards (on a cluster: of one)
-- Returns for each its age, ms; -1: there is none.
-- One that is not waited for any more, since its record was lost or changed by hand, is removed
-- here. The records and figures lie in the list's shard; only its key names that.
-- Needs count.lua.
local time = redis.call('TIME')
local now, out = time[1] * 1000 + math.floor(time[2] / 1000), {}
for i, key in ipairs(KEYS) do
  local shard, target = string.match(key, '^(.-})' .. ':jobs:(.+)$')
  out[i] = -1
  for _ = 1, 100 do
    local id, since = unpack(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES'))
    if not id then break end
    local value = redis.call('HGET', shard .. ':rec:' .. id, 't:' .. target)
    if value and waits(value) then
      out[i] = math.max(now - since, 0)
      break
    end
    unlisted(key, id, shard .. ':figures', 'w:' .. target)
  end
end
return out
