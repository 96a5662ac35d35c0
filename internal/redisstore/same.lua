-- Deletes a key if it still holds a value: what another worker has written since stays.
-- KEYS: 1 the key. ARGV: 1 the value. Returns how many keys were deleted.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
