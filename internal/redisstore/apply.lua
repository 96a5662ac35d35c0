-- Replaces a delivery, provided that nobody changed it since it was read.
-- KEYS  1 rec  2 pay  3 due  4 queued:<target>  5 open  6 dead  7 tenants
--       8 running
-- ARGV  1 id  2 target  3 expected seq  4 expected token or '-'  5 new value
--       6 new letter: q, n, b, g, s or f  7 due at, ms (s), or in how many ms (g)  8 open field
--       9 '1' when the payload is no longer needed  10 '1' when it is a dead letter from now on
--       11 how long a dead letter is kept, ms
-- Returns 'ok' | 'fenced' | 'gone'. Repeated with the same new value it is 'ok' again.
-- Invariant: a delivery that is not final has exactly one row, in due, running or queued; one
-- that is final has none and is no longer counted as open. The tenant's counts move with it.
-- Needs count.lua and finish.lua.
local field, is = 't:' .. ARGV[2], ARGV[6]
local value, n, k, o, x, a, d = unpack(redis.call('HMGET', KEYS[1], field, 'n', 'k', 'o', 'x', 'a', 'd'))
if not value then return 'gone' end
if bare(value) == ARGV[5] then return 'ok' end
local seq, was, token = string.match(bare(value), '^(%d+) (%a) (%S+) ')
if seq ~= ARGV[3] or token ~= ARGV[4] or was == 'f' then return 'fenced' end
local member, last = ARGV[1] .. ':' .. ARGV[2], is == 'f' and o == '1'
local old_row = is_queued(was) and queued_row(KEYS[4], was)
local new_row = is_queued(is) and queued_row(KEYS[4], is)
local needed = {KEYS[1], last and idem_of(KEYS[1], k) or nil}
if old_row then needed[#needed + 1] = old_row end
if new_row then needed[#needed + 1] = new_row end
if #needed > 1 then here(unpack(needed)) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A full Redis refuses a script's first write when it may need memory. What has been
-- done must be recorded all the same, and the end of a delivery is what frees memory: so
-- the first write is one that needs none. It takes the row of a run away; from due, where
-- that of any other is, only what does not come back to it, for due must not be emptied
-- then.
if was == 'r' and string.sub(token, 1, 4) ~= 'bat_' then
  redis.call('ZREM', KEYS[8], member)
else
  redis.call('ZREM', KEYS[3], (new_row or is == 'f') and member or '')
end
local fields = {field, new_row and queued_at(ARGV[5], now) or ARGV[5]}
if is == 'f' then
  fields[3], fields[4] = 'o', o - 1
  if ARGV[10] == '1' then fields[5], fields[6] = 'd', '1' end
end
redis.call('HSET', KEYS[1], unpack(fields))
moved(KEYS[7], n, ARGV[2], was, is)
-- The new row comes before the old one goes.
if new_row then
  redis.call('RPUSH', new_row, ARGV[1])
elseif is == 's' then
  redis.call('ZADD', KEYS[3], ARGV[7], member)
elseif is == 'g' then
  redis.call('ZADD', KEYS[3], now + ARGV[7], member)
end
if old_row == new_row then
  if old_row then redis.call('LREM', old_row, 1, ARGV[1]) end
elseif old_row then
  off_row(old_row, ARGV[1], value, a, now)
end
if is ~= 'f' then return 'ok' end
add(KEYS[5], ARGV[8], -1)
if ARGV[9] == '1' then redis.call('HDEL', KEYS[2], ARGV[2]) end
if ARGV[10] == '1' then
  redis.call('ZADD', KEYS[6], now, member)
  d = '1'
end
if last then finish(KEYS[1], KEYS[2], KEYS[6], ARGV[1], now, tonumber(ARGV[11]), x, a, d, k) end
redis.call('PUBLISH', string.match(KEYS[1], '^(.-)rec:') .. 'done:' .. ARGV[1], ARGV[2])
return 'ok'
