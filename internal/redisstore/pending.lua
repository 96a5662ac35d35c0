-- Reads one delivery.
-- KEYS  1 rec
-- ARGV  1 target
-- Returns {now ms, value, accepted at, ms}, or {} when it is gone.
local value, accepted = unpack(redis.call('HMGET', KEYS[1], 't:' .. ARGV[1], 'a'))
if not value then return {} end
local time = redis.call('TIME')
return {string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)), value, accepted or '0'}
