-- Notes that the backend called back for a delivery.
-- KEYS  1 rec
-- ARGV  1 target
-- Returns {} when there is none, else {value, now ms}. Repeated, it notes the same again.
-- Invariant: the delivery itself stays as it is, whoever holds it; one that has ended gets no note.
local value = redis.call('HGET', KEYS[1], 't:' .. ARGV[1])
if not value then return {} end
local time = redis.call('TIME')
if string.match(value, '^%d+ (%a) ') ~= 'f' then redis.call('HSET', KEYS[1], 'e:' .. ARGV[1], '1') end
return {value, string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))}
