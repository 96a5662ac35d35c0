-- Takes a final delivery up again, provided that nobody changed it since it was read.
-- KEYS  1 rec  2 pay  3 dead  4 queued:<target>  5 open  6 tenants  7 due  8 figures  9 jobs:<target>
-- ARGV  1 id  2 target  3 expected seq  4 new value  5 open field  6 new payload or ''
-- Returns 'ok' | 'fenced' | 'gone' | 'no payload'. Repeated with the same value it is
-- 'ok' again.
-- Invariant: the delivery is open again in every respect: counted, with a queued row, not
-- among the dead letters, and no clock runs for a record in progress.
-- Needs count.lua and finish.lua.
local field = 't:' .. ARGV[2]
local value, n, k = unpack(redis.call('HMGET', KEYS[1], field, 'n', 'k'))
if not value then return 'gone' end
if bare(value) == ARGV[4] then return 'ok' end
local seq, phase = string.match(value, '^(%d+) (%a) ')
if seq ~= ARGV[3] or phase ~= 'f' then return 'fenced' end
if ARGV[6] == '' and redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then return 'no payload' end
local letter = string.match(ARGV[4], '^%d+ (%a) ')
local idem = idem_of(KEYS[1], k)
here(KEYS[1], queued_row(KEYS[4], letter))
local row = idem and redis.call('GET', idem)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- The first write is one that a full Redis refuses: then nothing at all is written.
redis.call('HSET', KEYS[1], field, queued_at(ARGV[4], now))
if ARGV[6] ~= '' then redis.call('HSET', KEYS[2], ARGV[2], ARGV[6]) end
redis.call('RPUSH', queued_row(KEYS[4], letter), ARGV[1])
moved(KEYS[6], n, ARGV[2], 'f', letter)
redis.call('HINCRBY', KEYS[5], ARGV[5], 1)
redis.call('HINCRBY', KEYS[1], 'o', 1)
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[2])
unlisted(KEYS[3], ARGV[1] .. ':' .. ARGV[2], KEYS[8], 'd:' .. ARGV[2])
waited(KEYS[9], ARGV[1], KEYS[8], ARGV[2], value, ARGV[4], now)
redis.call('ZREM', KEYS[7], ARGV[1] .. ':' .. ARGV[2]) -- it has not yet left its line
if idem then
  if row and string.find(row, '"id":"' .. ARGV[1] .. '"', 1, true) then
    redis.call('PERSIST', idem)
  else
    -- The key has run out, and another request may have it by now: this record's end
    -- must not touch it any more.
    redis.call('HDEL', KEYS[1], 'k')
  end
end
return 'ok'
