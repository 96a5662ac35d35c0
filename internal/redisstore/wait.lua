-- Replaces a delivery that waits for a poll: by one that is polled sooner, if a callback is noted.
-- KEYS  as in change.lua, then  9 rec  10 pay
-- ARGV  as in change.lua, then  3 to 11 what apply.lua is told of the one change, 12 to 20 of the other
-- Returns 'ok' | 'called', when it was the other | 'fenced' | 'gone'. Repeated with the same
-- values it returns the same again.
-- Invariant: a note goes away only with a delivery that is polled sooner.
-- Needs count.lua, finish.lua and change.lua.
local rec, note = KEYS[9], 'e:' .. target
local value = redis.call('HGET', rec, field)
local done = value and bare(value) == ARGV[15]
if not done then
  if redis.call('HEXISTS', rec, note) == 0 then return apply(rec, KEYS[10], unpack(ARGV, 3, 11)) end
  local answer = apply(rec, KEYS[10], unpack(ARGV, 12, 20))
  if answer ~= 'ok' then return answer end
end
redis.call('HDEL', rec, note)
return 'called'
