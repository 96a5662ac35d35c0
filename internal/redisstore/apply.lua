-- Replaces deliveries, each provided that nobody changed it since it was read.
-- KEYS  as in change.lua, then rec and pay of each
-- ARGV  1 target  2 how long a dead letter is kept, ms  then of each
--       1 id  2 expected seq  3 expected token or '-'  4 new value  5 new letter: q, n, b, g, s or f
--       6 due at, ms (s), or in how many ms (g); for f '' or in how many ms somebody else is to
--       see to its leaving its line  7 open field
--       8 '1' when the payload is no longer needed  9 '1' when it is a dead letter from now on
-- Returns of each 'ok' | 'ok <accepted at, ms>', when it has ended | 'fenced' | 'gone'. Repeated with the same new value it is 'ok' again: a
-- script that ended half-way, as here may end one, is repeated as a whole.
-- Invariant: a delivery that is not final has exactly one row, in due, running or queued; one
-- that is final has none, unless it has yet to leave its line, and is no longer counted as open.
-- The tenant's counts move with it, and the lists of dead letters and of jobs.
-- Needs count.lua, finish.lua and change.lua.
local out = {}
for i = 3, #ARGV, 9 do
  local k = 9 + 2 * #out
  out[#out + 1] = apply(KEYS[k], KEYS[k + 1], unpack(ARGV, i, i + 8))
end
return out
