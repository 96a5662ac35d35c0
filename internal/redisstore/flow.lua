-- Changes what holds a target back, for all workers, and tells them.
-- KEYS  1 flow
-- ARGV  1 what: trip | reset | hold | order  2 target  3 channel
--       4 trip: worker  hold: ms  order: paused, draining, or '' for neither
--       5 trip: open for, ms  order: who and why  6 trip: longest, ms  order: '1' when it says why
-- Returns 1 if something was changed, else 0.
-- Invariant: a breaker is open until one time for everybody; only a failed probe, or a
-- failure when nobody has the right to probe, opens it again, and longer. A target has one
-- order at most; one that is repeated holds since it was first given, and without a reason
-- changes nothing.
local what, target = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local changed = 0
redis.call('HDEL', KEYS[1], '') -- a first write that a full Redis lets pass; there is no such field
local open, probe = 'open:' .. target, 'probe:' .. target
if what == 'trip' or what == 'reset' then
  local times, ends = string.match(redis.call('HGET', KEYS[1], open) or '', '^(%d+) (%d+)$')
  if times and now < tonumber(ends) then return 0 end
  if what == 'reset' then
    changed = redis.call('HDEL', KEYS[1], open, probe)
  else
    local right, holder = string.match(redis.call('HGET', KEYS[1], probe) or '', '^(%d+) (.*)$')
    if right and tonumber(right) > now and holder ~= ARGV[4] then return 0 end
    times = (times or 0) + 1
    local span = math.min(ARGV[5] * 2 ^ math.min(times - 1, 30), math.max(ARGV[5], ARGV[6]))
    redis.call('HSET', KEYS[1], open, string.format('%d %d', times, now + span))
    redis.call('HDEL', KEYS[1], probe)
    changed = 1
  end
elseif what == 'hold' then
  local ends = tonumber(redis.call('HGET', KEYS[1], 'hold:' .. target) or 0)
  if now + ARGV[4] > ends then
    redis.call('HSET', KEYS[1], 'hold:' .. target, string.format('%d', now + ARGV[4]))
    changed = 1
  end
else
  for _, mode in ipairs({'paused', 'draining'}) do
    local row = mode .. ':' .. target
    if mode ~= ARGV[4] then
      changed = changed + redis.call('HDEL', KEYS[1], row)
    else
      local old = redis.call('HGET', KEYS[1], row)
      if not old or ARGV[6] == '1' then
        local since = string.match(old or '', '^(%d+) ') or string.format('%d', now)
        redis.call('HSET', KEYS[1], row, since .. ' ' .. ARGV[5])
        changed = changed + 1
      end
    end
  end
end
if changed > 0 then redis.call('PUBLISH', ARGV[3], target) end
return math.min(changed, 1)
