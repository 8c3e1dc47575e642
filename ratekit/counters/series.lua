-- series: a count per bucket of time, as a hash from the bucket's start (ms) to its count. The twin of series.py.
-- p: kind, mode, then what to do (3), amount (4), floor (5), buckets kept (6), ms that a bucket lasts at most (7), the fixed length
-- in ms or 0 (8), starts of the calendar's buckets (9), us since it happened (10), writer and number (11, 12) of what is written behind.
-- Reply to 'add': the bucket's count; where the length is not fixed also 0, or `now` when the starts are of another time and
-- nothing was counted. To the others: now, and the hash.
local SLACK = 8

local function prune(key, kept)
  if call('HLEN', key) <= kept + SLACK then return end
  local starts = call('HKEYS', key)
  table.sort(starts, function(a, b) return whole(a) > whole(b) end)
  for i = kept + 1, #starts do call('HDEL', key, starts[i]) end
end

local function add(p, key, now, start)
  clear_ended(key, now)
  if written(key, p[11], p[12]) then
    live(key, floor(now / 1000), (p[6] + 1) * p[7])
    return whole(call('HGET', key, start))
  end
  local value = repaired(key, 'HINCRBY', key, start, digits(p[4]))
  -- One more than is kept, for the part of the oldest that a sliding total still counts.
  if value == p[4] then prune(key, p[6] + 1) end
  if value > MOST or value < p[5] then
    value = max(p[5], min(MOST, value))
    call('HSET', key, start, digits(value))
  end
  live(key, floor(now / 1000), (p[6] + 1) * p[7])
  return value
end

rules.series = function(p, key, now, out, n)
  if p[3] == 'add' then
    local start, fixed = started(p[8], p[9], now - p[10]), p[8] > 0
    out[n + 1] = start and add(p, key, now, digits(start)) or 0
    if fixed then return n + 1 end
    out[n + 2] = start and 0 or now
    return n + 2
  end
  local hash = redis.pcall('HGETALL', key)
  if hash.err or ended(key, now) then hash = {} end
  if p[3] == 'take' then call('DEL', key) end
  out[n + 1], out[n + 2] = now, hash
  return n + 2
end
