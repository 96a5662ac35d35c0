-- Takes away the row of a delivery that has ended and has left its line.
-- KEYS  1 rec  2 due
-- ARGV  1 id  2 target
-- Returns how many rows went. One that was taken up again meanwhile keeps the row it has.
local value = redis.call('HGET', KEYS[1], 't:' .. ARGV[2])
if value and not string.find(value, '^%d+ f ') then return 0 end
return redis.call('ZREM', KEYS[2], ARGV[1] .. ':' .. ARGV[2])
