-- Leases tokens of a target's rate, or takes unused ones back (GCRA).
-- KEYS  1 rate:<target>
-- ARGV  1 µs from one token to the next  2 how many are kept when nobody takes them
--       3 tokens wanted; given back when negative
-- Returns {tokens, µs until the next is due}.
-- Invariant: the key holds when the next token is due, by Redis's clock; in any span of
-- time no more tokens are given than come in it, and the kept ones.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local every, burst, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now - (burst - 1) * every)
due = math.min(due, now + every) -- a later one is of a slower rate that a reload has replaced
local got = want
if want > 0 then
  got = math.min(want, math.max(0, math.floor((now - due) / every) + 1))
end
if got ~= 0 then
  due = due + got * every
  redis.call('DEL', KEYS[1]) -- a first write that a full Redis lets pass
  redis.call('SET', KEYS[1], string.format('%d', due), 'PX', string.format('%d', math.max(1000, math.ceil((due - now) / 1000) + 1000)))
end
return {math.max(got, 0), string.format('%d', math.max(0, due - now))}
