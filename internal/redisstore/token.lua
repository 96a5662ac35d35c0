-- Reads an access token with the time that is left of it, in one step: read one after the
-- other, the time could be that of another token.
-- KEYS: 1 the token. Returns {value, ms left}, or nothing.
local value = redis.call('GET', KEYS[1])
if not value then
  return {}
end
return {value, redis.call('PTTL', KEYS[1])}
