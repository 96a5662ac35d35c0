-- Prepended to scripts that look at one key of each shard; it runs nothing by itself.
--
-- On a system with little to do nearly none of these keys exists: present gives those that
-- do, in their order, and asks in few commands for that. Where at least a quarter of some
-- exist, it gives all of them: a look at a key that does not exist costs no more than
-- asking for it.
local function present()
  local out = {}
  -- n of those from first to last exist.
  local function add(first, last, n)
    if n == 0 then return end
    if 4 * n > last - first then
      for i = first, last do out[#out + 1] = KEYS[i] end
      return
    end
    local middle = math.floor((first + last) / 2)
    local left = redis.call('EXISTS', unpack(KEYS, first, middle))
    add(first, middle, left)
    add(middle + 1, last, n - left)
  end
  if #KEYS < 8 then return KEYS end
  add(1, #KEYS, redis.call('EXISTS', unpack(KEYS)))
  return out
end

