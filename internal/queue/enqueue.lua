-- Queues tasks the way asynq does, many with one call. A task whose ID exists stays as it
-- is.
-- KEYS  1 pending list of the queue
-- ARGV  1 prefix of the queue's tasks  2 now, ns  then for each task: id, message
-- Returns how many were new.
-- The first write is one that a full Redis lets pass: what these tasks stand for is
-- recorded, and only its end frees that memory.
redis.call('DEL', KEYS[1] .. ':none')
local ids, tasks = {}, {}
for i = 3, #ARGV, 2 do tasks[#tasks + 1] = ARGV[1] .. ARGV[i] end
local none = redis.call('EXISTS', unpack(tasks)) == 0 -- mostly: then there is no need to look at each
for n, task in ipairs(tasks) do
  local i = 2 * n + 1
  -- A task that comes twice in one call exists the second time.
  if (none and not tasks[task]) or redis.call('EXISTS', task) == 0 then
    redis.call('HSET', task, 'msg', ARGV[i + 1], 'state', 'pending', 'pending_since', ARGV[2])
    ids[#ids + 1], tasks[task] = ARGV[i], true
  end
end
if #ids > 0 then redis.call('LPUSH', KEYS[1], unpack(ids)) end
return #ids
