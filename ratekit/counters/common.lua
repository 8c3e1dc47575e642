-- What counters share. Here as in the rules every number is an integer below 2^53.
local MOST = 9007199254740991
-- Redis forgets a key by its own clock. A clock that a test moves is ahead of that: then scripts look for themselves.
local moved = ARGV[1] ~= ''

local function ended(key, now)
  if not moved then return false end
  local ends = call('PEXPIRETIME', key)
  return ends >= 0 and ends * 1000 <= now
end

-- Before a write: what has ended is gone.
local function clear_ended(key, now)
  if ended(key, now) then call('DEL', key) end
end

-- A key lives for so many ms from an instant in ms; 0 is for ever.
local function live(key, from, ms)
  if ms > 0 then call('PEXPIREAT', key, digits(from + ms)) else call('PERSIST', key) end
end

-- The answer to a command that writes integers; what the key holds instead of ours is forgotten, it alone.
local function repaired(key, ...)
  local answer = redis.pcall(...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  for _, fault in ipairs({'WRONGTYPE', 'is not an integer', 'is not a valid', 'would overflow'}) do
    if string.find(answer.err, fault, 1, true) then
      call('DEL', key)
      return call(...)
    end
  end
  error(answer)
end

-- A number as an answer shows it: an integer, or 0 for what is none.
local function whole(text)
  if type(text) ~= 'string' or not string.find(text, '^-?%d+$') then return 0 end
  return max(-MOST, min(MOST, tonumber(text)))
end

-- What is written behind carries a number of its writer's. One that was written already is not written again.
local function written(key, writer, number)
  if writer == '' then return false end
  local receipt = key .. ':' .. writer
  local last = redis.pcall('GET', receipt)
  if type(last) == 'string' and whole(last) >= number then return true end
  call('SET', receipt, digits(number), 'PX', '3600000')
  return false
end

-- The start in ms of the bucket of an instant in us; nil when that is outside of the starts that were sent.
local function started(period, starts, at)
  local ms = floor(at / 1000)
  if period > 0 then return ms - fmod(ms, period) end
  for i = #starts - 1, 1, -1 do
    if starts[i] <= ms then
      if ms < starts[#starts] then return starts[i] end
      return nil
    end
  end
  return nil
end

-- The starts of so many buckets, the present one last, as text; nil when they are outside of the starts that were sent.
local function recent(period, starts, now, last)
  local start, found = started(period, starts, now), {}
  if not start then return nil end
  if period > 0 then
    for i = 1, last do found[i] = digits(start - (last - i) * period) end
    return found
  end
  local at = 1
  while starts[at] ~= start do at = at + 1 end
  if at < last then return nil end
  for i = 1, last do found[i] = digits(starts[at - last + i]) end
  return found
end

-- The keys of so many buckets, the present one last; that of a counter without buckets (keep 0) is the key itself.
local function keys_of(key, keep, period, starts, now, last)
  if keep == 0 then return ended(key, now) and {} or {key} end
  local found = recent(period, starts, now, last)
  for i = 1, found and #found or 0 do found[i] = key .. ':' .. found[i] end
  return found
end
