-- Replaces a delivery, provided that nobody changed it since it was read.
-- KEYS  1 rec  2 pay  3 due  4 queued:<target>  5 open  6 dead
-- ARGV  1 id  2 target  3 expected seq  4 expected token or '-'  5 new value
--       6 new letter: q, n, b, g, s or f  7 due at, ms (s), or in how many ms (g)  8 open field
--       9 '1' when the payload is no longer needed  10 '1' when it is a dead letter from now on
--       11 how long a dead letter is kept, ms
-- Returns 'ok' | 'fenced' | 'gone'. Repeated with the same new value it is 'ok' again.
-- Invariant: a delivery that is not final has exactly one row, in due or in queued; one
-- that is final has none and is no longer counted as open. The tenant's counts move with it.
-- Needs count.lua and finish.lua.
local field = 't:' .. ARGV[2]
local value = redis.call('HGET', KEYS[1], field)
if not value then return 'gone' end
if value == ARGV[5] then return 'ok' end
local seq, phase, token = string.match(value, '^(%d+) (%a) (%S+) ')
if seq ~= ARGV[3] or token ~= ARGV[4] or phase == 'f' then return 'fenced' end
local member = ARGV[1] .. ':' .. ARGV[2]
-- The key of the run's owner lies in the same slot; only the record names it.
local owner = string.match(token, '^(.-)%.')
local run = owner and string.match(KEYS[1], '^(.-)rec:') .. 'run:' .. owner
local needed = {KEYS[1], run}
if ARGV[6] == 'f' then needed[#needed + 1] = idem_of(KEYS[1]) end
if redis.call('HEXISTS', KEYS[1], 'n') == 1 then needed[#needed + 1] = tenants_of(KEYS[1]) end
here(unpack(needed))
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A full Redis refuses a script's first write when it may need memory. What has been
-- done must be recorded all the same, and the end of a delivery is what frees memory:
-- so the first write is one that needs none. There is no such row.
redis.call('ZREM', KEYS[3], '')
redis.call('HSET', KEYS[1], field, ARGV[5])
moved(KEYS[1], ARGV[2], phase, ARGV[6])
-- The new row comes before the old one goes.
local was, is = queued_row(KEYS[4], phase), nil
if is_queued(ARGV[6]) then
  is = queued_row(KEYS[4], ARGV[6])
  redis.call('ZADD', is, now, ARGV[1])
elseif ARGV[6] == 's' then
  redis.call('ZADD', KEYS[3], ARGV[7], member)
elseif ARGV[6] == 'g' then
  redis.call('ZADD', KEYS[3], now + ARGV[7], member)
end
if is or ARGV[6] == 'f' then redis.call('ZREM', KEYS[3], member) end
if is ~= was then redis.call('ZREM', was, ARGV[1]) end
if run then redis.call('ZREM', run, member) end
if ARGV[6] ~= 'f' then return 'ok' end
if redis.call('HINCRBY', KEYS[5], ARGV[8], -1) <= 0 then redis.call('HDEL', KEYS[5], ARGV[8]) end
if ARGV[9] == '1' then redis.call('HDEL', KEYS[2], ARGV[2]) end
if ARGV[10] == '1' then
  redis.call('ZADD', KEYS[6], now, member)
  redis.call('HSET', KEYS[1], 'd', '1')
end
if redis.call('HINCRBY', KEYS[1], 'o', -1) == 0 then finish(KEYS[1], KEYS[2], KEYS[6], ARGV[1], now, tonumber(ARGV[11])) end
redis.call('PUBLISH', string.match(KEYS[1], '^(.-)rec:') .. 'done:' .. ARGV[1], ARGV[2])
return 'ok'
