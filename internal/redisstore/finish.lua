-- Prepended to every script that ends deliveries or looks after dead ones; it runs
-- nothing by itself.

-- dead_until gives until when, ms, the last dead letter of a record is kept; 0 when it has
-- none. kept is how long one is kept, ms.
local function dead_until(rec, dead, id, kept)
  local last = 0
  for _, field in ipairs(redis.call('HKEYS', rec)) do
    local score = string.sub(field, 1, 2) == 't:' and redis.call('ZSCORE', dead, id .. ':' .. string.sub(field, 3))
    if score then last = math.max(last, tonumber(score) + kept) end
  end
  return last
end

-- finish starts the clocks of retention once the last delivery of a record is final, and
-- only then. The record outlives its dead letters. The idempotency row lies in the same
-- slot; its name is known to the record only.
local function finish(rec, pay, dead, id, now, kept)
  local fixed = redis.call('HMGET', rec, 'x', 'a', 'd')
  local retention, idem_for, idem = string.match(fixed[1], '^(%d+) (%d+) (%S+)$')
  retention = tonumber(retention)
  if fixed[3] then retention = math.max(retention, dead_until(rec, dead, id, kept) - now) end
  retention = string.format('%d', retention)
  redis.call('PEXPIRE', rec, retention)
  redis.pcall('PEXPIRE', pay, retention) -- it may just have been emptied, see here
  if idem ~= '-' then
    local left = math.max(fixed[2] + idem_for - now, 1)
    redis.call('PEXPIRE', string.match(rec, '^(.-)rec:') .. 'idem:' .. idem, string.format('%d', left))
  end
end
