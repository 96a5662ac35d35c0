-- Prepended to every script that changes a delivery's letter; it runs nothing by itself.
--
-- The letter in a value is the delivery's phase, except for one that is queued and that
-- nobody has claimed since it was accepted or replayed: there it is the lane of its task,
-- n (the target's own queue) or b (its bulk queue). So the letter alone says among which
-- rows a delivery stands and what it counts as.
--
-- Rows of queued deliveries are lists of ids, one for each queue of the target, in the order
-- in which they were queued: that is about the order in which queues give their tasks out,
-- so a row that goes stands near an end, and a list takes a quarter of a sorted set. Since
-- when a delivery is queued stands in its value, where others have a token: a time in ms,
-- or -, since it was accepted.

-- Only what KEYS names is known to be on this server when a script begins: while a slot
-- is on its way to another, each of its keys is here or there, and one that does not exist
-- counts as being there. here asks for keys that only the record names, before the first
-- write: should one not be here, the script ends with nothing done, and is tried again.
-- For the same reason no script touches a key again after it may have emptied it.
local function here(...) redis.call('EXISTS', ...) end

-- queued_row gives the key of the rows among which a queued delivery stands.
local function queued_row(queued, letter)
  if letter == 'b' then return queued .. '.bulk' end
  if letter == 'q' then return queued .. '.resume' end
  return queued
end

-- is_queued tells the letters of deliveries that have a queued row.
local function is_queued(letter) return letter == 'q' or letter == 'n' or letter == 'b' end

-- bare gives a value without since when it is queued: as it was given to a script.
local function bare(value) return (string.gsub(value, '^(%d+ [qnb]) %d+ ', '%1 - ', 1)) end

-- queued_at puts since when it is queued into a bare value.
local function queued_at(value, now) return (string.gsub(value, '^(%d+ %a) %- ', '%1 ' .. string.format('%d', now) .. ' ', 1)) end

-- off_row takes the row of a delivery away. What is in the order of its queue stands first;
-- what was queued a moment ago stands last, also behind others that are stuck.
local function off_row(row, id, value, accepted, now)
  local since = tonumber(string.match(value, '^%d+ %a (%d+) ') or accepted)
  redis.call('LREM', row, now - since < 1000 and -1 or 1, id)
end

-- add changes one count by one. One that has come to nothing is removed, so that a hash
-- holds the tenants, or the plans, that have something under way and no other; none is ever
-- negative.
local function add(key, field, by)
  local n = redis.call('HINCRBY', key, field, by > 0 and '1' or '-1') -- Redis takes long over a number
  if n <= 0 then redis.call('HDEL', key, field) end
end

-- counted gives counts as they are with one more in each field, as field, count, …, and by
-- place.
local function counted(key, fields)
  local out, more = {}, redis.call('HMGET', key, unpack(fields))
  for i, field in ipairs(fields) do
    more[i] = (more[i] or 0) + 1
    out[2 * i - 1], out[2 * i] = field, more[i]
  end
  return out, more
end

local function weight(letter) return letter == 'f' and 0 or 1, (letter == 'n' or letter == 'b') and 1 or 0 end

-- moved keeps a tenant's counts when a delivery's letter goes from was to is; f stands
-- for one that is not there, too. A script calls it once for each change, after its first
-- write: see apply.lua for why that one has to be chosen. The record of a batch names no
-- tenant: its members are counted, each by itself.
local function moved(tenants, tenant, target, was, is)
  if not tenant then return end
  local open_was, new_was = weight(was)
  local open_is, new_is = weight(is)
  if open_was ~= open_is then add(tenants, 'o:' .. target .. ':' .. tenant, open_is - open_was) end
  if new_was ~= new_is then add(tenants, 'n:' .. target .. ':' .. tenant, new_is - new_was) end
end

-- listed adds a member to the list of a target's dead letters or jobs, unless it stands there;
-- unlisted takes it off. figures counts what is on such lists, by field. Who does both lists first,
-- so that figures is not emptied in between.
local function listed(list, member, score, figures, field)
  if redis.call('ZADD', list, 'NX', score, member) == 1 then add(figures, field, 1) end
end
local function unlisted(list, member, figures, field)
  if redis.call('ZREM', list, member) == 1 then add(figures, field, -1) end
end

-- waits tells whether a value is that of a delivery, or a batch, whose backend's job is waited for.
local function waits(value) return string.match(value, '^%d+ %a %S+ %S+ (%a)') == 'w' end

-- waited keeps the list of the jobs that are waited for when a delivery's value goes from was to is.
local function waited(jobs, id, figures, target, was, is, now)
  if waits(was) == waits(is) then return end
  if waits(is) then listed(jobs, id, now, figures, 'w:' .. target) else unlisted(jobs, id, figures, 'w:' .. target) end
end
