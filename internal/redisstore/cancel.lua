-- Cancels deliveries of one record: all those that have not moved since they were read.
-- KEYS  1 rec  2 pay  3 due  4 open  5 dead  6 tenants  7 figures, then for each delivery the row it has if it is
--       queued, and jobs:<target>
-- ARGV  1 id  2 how long a dead letter is kept, ms
--       then for each delivery: target, expected seq, new value, open field, '' or in how many ms
--       somebody else is to see to its leaving its line
-- Returns {'gone'} or {'ok', target, …} with those that have moved and stay as they are.
-- Invariant: as in apply.lua. A delivery that a run holds is never ended here. Repeated
-- with the same values it is ok again.
-- Needs count.lua and finish.lua.
local now_parts = redis.call('TIME')
local now = now_parts[1] * 1000 + math.floor(now_parts[2] / 1000)
local n, k, x, a, d = unpack(redis.call('HMGET', KEYS[1], 'n', 'k', 'x', 'a', 'd'))
if not a then return {'gone'} end
local left, canceled, rows = {'ok'}, {}, {}
if k then here(KEYS[1], idem_of(KEYS[1], k)) end
for i = 3, #ARGV, 5 do
  local target, field = ARGV[i], 't:' .. ARGV[i]
  local value = redis.call('HGET', KEYS[1], field)
  if value ~= ARGV[i + 2] then
    local seq, phase
    if value then seq, phase = string.match(value, '^(%d+) (%a) ') end
    if seq ~= ARGV[i + 1] or phase == 'f' or phase == 'r' then
      left[#left + 1] = target
    else
      -- The first write needs no memory, as in apply.lua.
      redis.call('ZREM', KEYS[3], '')
      local k = 8 + (i - 3) / 5 * 2
      if is_queued(phase) then off_row(KEYS[k], ARGV[1], value, a, now) end
      redis.call('HSET', KEYS[1], field, ARGV[i + 2])
      waited(KEYS[k + 1], ARGV[1], KEYS[7], target, value, ARGV[i + 2], now)
      moved(KEYS[6], n, target, phase, 'f')
      add(KEYS[4], ARGV[i + 3], -1)
      local row = ARGV[1] .. ':' .. target
      canceled[#canceled + 1] = target
      if ARGV[i + 4] == '' then rows[#rows + 1] = row else redis.call('ZADD', KEYS[3], now + ARGV[i + 4], row) end
    end
  end
end
if #canceled > 0 then
  redis.call('ZREM', KEYS[3], '', unpack(rows))
  redis.call('HDEL', KEYS[2], unpack(canceled))
  if redis.call('HINCRBY', KEYS[1], 'o', -#canceled) == 0 then finish(KEYS[1], KEYS[2], KEYS[5], ARGV[1], now, tonumber(ARGV[2]), x, a, d, k) end
  redis.call('PUBLISH', string.match(KEYS[1], '^(.-)rec:') .. 'done:' .. ARGV[1], canceled[1])
end
return left
