-- Notes how members of a batch end that do not end as it does.
-- KEYS  1 ends
-- ARGV  1 '1' when what was noted before is forgotten  2 kept, ms  then of each its tracking id and its end
-- The first write is one that a full Redis lets pass: the end of the members frees memory.
if ARGV[1] == '1' then redis.call('DEL', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if #ARGV > 2 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 3))
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
