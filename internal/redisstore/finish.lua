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

-- idem_of gives the key of a record's idempotency row, by its field k; nil when it has none.
local function idem_of(rec, k) return k and string.match(rec, '^(.-)rec:') .. 'idem:' .. k end

-- finish starts the clocks of retention once the last delivery of a record is final, and
-- only then: x, a, d and k are fields of the record. It outlives its dead letters. The
-- idempotency row lies in the same slot; its name is known to the record only.
local function finish(rec, pay, dead, id, now, kept, x, a, d, k)
  local retention, idem_for = string.match(x, '^(%d+) (%d+)$')
  retention = tonumber(retention)
  if d then retention = math.max(retention, dead_until(rec, dead, id, kept) - now) end
  retention = string.format('%d', retention)
  redis.call('PEXPIRE', rec, retention)
  redis.pcall('PEXPIRE', pay, retention) -- it may just have been emptied, see here
  if k then
    local left = math.max(a + idem_for - now, 1)
    redis.call('PEXPIRE', idem_of(rec, k), string.format('%d', left))
  end
end
