-- Reads deliveries of one shard that a batch lists; when it is being sent, they are held
-- by it from now on.
-- KEYS  1 due, then rec and pay of each
-- ARGV  1 target  2 id of the batch  3 '1' when it is being sent  4 looked at again in, ms
--       then the tracking id of each
-- Returns for each: 'left' | 'joining' | 'aboard', its value or '', its payload or ''.
-- Invariant: a delivery is held by one batch, which its token names. One that collects can
-- be canceled; one that is held by a batch that is being sent cannot.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local out = {}
for i = 5, #ARGV do
  local record = KEYS[2 * (i - 4)]
  local stands, payload = 'left', ''
  local value = redis.call('HGET', record, 't:' .. ARGV[1])
  if value then
    local _, head, seq, phase, token = string.find(value, '^(%d+) (%a) (%S+) ')
    if token == ARGV[2] then
      stands = 'aboard'
      if ARGV[3] == '1' then
        payload = redis.call('HGET', KEYS[2 * (i - 4) + 1], ARGV[1]) or ''
        if phase == 'g' then
          -- The first write needs no memory, as in apply.lua.
          redis.call('ZREM', KEYS[1], '')
          value = seq .. ' r ' .. token .. ' ' .. string.sub(value, head + 1)
          redis.call('HSET', record, 't:' .. ARGV[1], value)
          redis.call('ZADD', KEYS[1], now + ARGV[4], ARGV[i] .. ':' .. ARGV[1])
        end
      end
    elseif phase == 'r' and string.sub(token, 1, 4) ~= 'bat_' then
      stands = 'joining'
    end
  end
  out[#out + 1] = stands
  out[#out + 1] = value or ''
  out[#out + 1] = payload
end
return out
