-- Prepended to the scripts that replace deliveries; it runs nothing but reading the clock.
-- KEYS  1 due  2 queued:<target>  3 open  4 dead  5 tenants  6 running  7 figures  8 jobs:<target>
-- ARGV  1 target  2 how long a dead letter is kept, ms
-- apply replaces one delivery, provided that nobody changed it since it was read. What it is
-- given stands in apply.lua; it returns 'ok' | 'fenced' | 'gone', and of one that has ended
-- 'ok <accepted at, ms>'.
-- Needs count.lua and finish.lua.
local target, kept = ARGV[1], tonumber(ARGV[2])
local due, queued, open, dead, tenants, running, figures, jobs = unpack(KEYS, 1, 8)
local field = 't:' .. target
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function apply(rec, pay, id, expected, holder, next, is, at, counted_as, drop, dies)
  local value, n, k, o, x, a, d = unpack(redis.call('HMGET', rec, field, 'n', 'k', 'o', 'x', 'a', 'd'))
  if not value then return 'gone' end
  local done = is == 'f' and 'ok ' .. (a or '') or 'ok'
  if bare(value) == next then return done end
  local seq, was, token = string.match(bare(value), '^(%d+) (%a) (%S+) ')
  if seq ~= expected or token ~= holder or was == 'f' then return 'fenced' end
  local member, last = id .. ':' .. target, is == 'f' and o == '1'
  local old_row = is_queued(was) and queued_row(queued, was)
  local new_row = is_queued(is) and queued_row(queued, is)
  local needed = {rec, last and idem_of(rec, k) or nil}
  if old_row then needed[#needed + 1] = old_row end
  if new_row then needed[#needed + 1] = new_row end
  if #needed > 1 then here(unpack(needed)) end
  -- A full Redis refuses a script's first write when it may need memory. What has been
  -- done must be recorded all the same, and the end of a delivery is what frees memory: so
  -- the first write is one that needs none. It takes the row of a run away; from due, where
  -- that of any other is, only what does not come back to it, for due must not be emptied
  -- then.
  if was == 'r' and string.sub(token, 1, 4) ~= 'bat_' then
    redis.call('ZREM', running, member)
  else
    redis.call('ZREM', due, (new_row or is == 'f' and at == '') and member or '')
  end
  local fields = {field, new_row and queued_at(next, now) or next}
  if is == 'f' then
    fields[3], fields[4] = 'o', o - 1
    if dies == '1' then fields[5], fields[6] = 'd', '1' end
  end
  redis.call('HSET', rec, unpack(fields))
  moved(tenants, n, target, was, is)
  -- The new row comes before the old one goes.
  if new_row then
    redis.call('RPUSH', new_row, id)
  elseif is == 's' then
    redis.call('ZADD', due, at, member)
  elseif is == 'g' or at ~= '' then
    redis.call('ZADD', due, now + at, member)
  end
  if old_row == new_row then
    if old_row then redis.call('LREM', old_row, 1, id) end
  elseif old_row then
    off_row(old_row, id, value, a, now)
  end
  if is ~= 'f' then
    waited(jobs, id, figures, target, value, next, now)
    return done
  end
  add(open, counted_as, -1)
  if drop == '1' then redis.call('HDEL', pay, target) end
  if dies == '1' then
    listed(dead, member, now, figures, 'd:' .. target)
    d = '1'
  end
  waited(jobs, id, figures, target, value, next, now)
  if last then finish(rec, pay, dead, id, now, kept, x, a, d, k) end
  redis.call('PUBLISH', string.match(rec, '^(.-)rec:') .. 'done:' .. id, target)
  return done
end

