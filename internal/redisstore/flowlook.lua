-- Shows what holds targets back, and gives or renews the right to probe.
-- KEYS  1 flow
-- ARGV  1 worker  2 how long the right lasts, ms  3… targets that the worker would probe
-- Returns {now ms, field, value, …} of what still counts. Fields: keys.go.
-- Invariant: at most one worker has the right to probe a target, and only while its
-- breaker is half-open: the time of being open is over and nobody has closed it.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local forgotten = now - 86400000
for i = 3, #ARGV do
  local ends = string.match(redis.call('HGET', KEYS[1], 'open:' .. ARGV[i]) or '', ' (%d+)$')
  if ends and tonumber(ends) <= now then
    local right, holder = string.match(redis.call('HGET', KEYS[1], 'probe:' .. ARGV[i]) or '', '^(%d+) (.*)$')
    if not right or tonumber(right) <= now or holder == ARGV[1] then
      redis.call('HDEL', KEYS[1], 'probe:' .. ARGV[i]) -- a first write that a full Redis lets pass
      redis.call('HSET', KEYS[1], 'probe:' .. ARGV[i], string.format('%d', now + ARGV[2]) .. ' ' .. ARGV[1])
    end
  end
end
local out = {string.format('%d', now)}
local rows = redis.call('HGETALL', KEYS[1])
for i = 1, #rows, 2 do
  local kind, target = string.match(rows[i], '^(%a+):(.*)$')
  local over = false
  if kind == 'hold' then
    over = (tonumber(rows[i + 1]) or 0) <= now
  elseif kind == 'open' then
    -- Nobody has probed for a day: the target is served no longer.
    over = (tonumber(string.match(rows[i + 1], ' (%d+)$')) or 0) < forgotten
  elseif kind == 'probe' then
    over = (tonumber(string.match(rows[i + 1], '^(%d+) ')) or 0) <= now
  end
  if over then
    redis.call('HDEL', KEYS[1], rows[i])
  else
    out[#out + 1] = rows[i]
    out[#out + 1] = rows[i + 1]
  end
end
return out
