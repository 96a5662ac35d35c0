-- Lists queued deliveries of one target that have waited for long, from the front of their
-- rows, with what overdue.lua gives.
-- KEYS  queued:<target>, or another of its lanes, of one or more shards (on a cluster: of one)
-- ARGV  1 age, ms  2 limit  3 target  4 letter of the lane
-- Returns {now ms, member, since when, value, …}; a row whose record is gone, or tells of
-- another one, is removed here.
-- Rows stand in the order of their times, but for those of a clock that was set back: so
-- the first that is too young ends the look, and those from the future are passed over.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local out, left, newest = {string.format('%d', now)}, tonumber(ARGV[2]), now - ARGV[1]

-- look adds a row; it tells whether that is there, and whether those behind it are wanted.
local function look(key, id)
  local record = string.match(key, '^(.-})') .. ':rec:' .. id
  local value, accepted = unpack(redis.call('HMGET', record, 't:' .. ARGV[3], 'a'))
  local letter, since = string.match(value or '', '^%d+ (%a) (%S+) ')
  if not value or letter and letter ~= ARGV[4] then return false, true end
  since = tonumber(since or 0) or tonumber(accepted) or 0
  if since > newest then return true, since > now end
  out[#out + 1] = id .. ':' .. ARGV[3]
  out[#out + 1] = string.format('%d', since)
  out[#out + 1] = value
  left = left - 1
  return true, left > 0
end

for _, key in ipairs(present()) do
  local from, more = 0, left > 0
  while more do
    local ids = redis.call('LRANGE', key, from, from + 31)
    more = #ids == 32 and from < 10000
    for _, id in ipairs(ids) do
      local there, on = look(key, id)
      if there then from = from + 1 else redis.call('LREM', key, 1, id) end
      if not on then
        more = false
        break
      end
    end
  end
end
return out
