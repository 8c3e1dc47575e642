-- ranking: scores of members, the highest first, per bucket of time. The twin of ranking.py. A sorted set from a member to its score,
-- negated: so that Redis' own order is ours, the highest first and equal scores by member. Each bucket is a key of its own, KEY:START.
-- p: kind, mode, then what to do (3), member (4), amount or how many (5), size (6), how many buckets ago and one (7), buckets kept or
-- 0 (8), ms that one lasts at most (9), fixed length in ms or 0 (10), starts of the calendar's buckets (11), ms to live without (12), us
-- since it happened (13), writer and number (14, 15) of what is written behind.
-- Reply: a list; 0, or 1 when the starts are of another time; now.
local function score_of(text)
  return max(-MOST, min(MOST, -(type(text) == 'string' and tonumber(text) or 0)))
end

local function add(p, base, key, now)
  if p[8] == 0 then clear_ended(key, now) end
  if written(base, p[14], p[15]) then return {score_of(redis.pcall('ZSCORE', key, p[4]))} end
  local score = tonumber(repaired(key, 'ZINCRBY', key, digits(-p[5]), p[4]))
  if score > MOST or score < -MOST then
    score = max(-MOST, min(MOST, score))
    call('ZADD', key, digits(score), p[4])
  end
  if call('ZCARD', key) > p[6] then call('ZREMRANGEBYRANK', key, p[6], -1) end
  if p[8] == 0 then live(key, floor(now / 1000), p[12]) else live(key, started(p[10], p[11], now), (p[8] + 1) * p[9]) end
  return {-score}
end

local function range(key, first, last)
  local rows = redis.pcall('ZRANGE', key, digits(first), digits(last), 'WITHSCORES')
  if rows.err then return {} end
  for i = 2, #rows, 2 do rows[i] = score_of(rows[i]) end
  return rows
end

local function around(key, member, many)
  local rank = redis.pcall('ZRANK', key, member)
  if type(rank) ~= 'number' then return {-1} end
  local first = max(0, rank - many)
  local rows = range(key, first, rank + many)
  table.insert(rows, 1, first)
  return rows
end

rules.ranking = function(p, key, now, out, n)
  local what, keep = p[3], p[8]
  local at = now - p[13]
  local keys = keys_of(key, keep, p[10], p[11], at, p[7])
  out[n + 1], out[n + 2], out[n + 3] = {}, keys and 0 or 1, now
  if not keys then return n + 3 end
  local one = keys[1]
  if what == 'add' then
    out[n + 1] = add(p, key, keep == 0 and key or one, at)
  elseif what == 'reset' then
    for _, some in ipairs(keys) do call('DEL', some) end
  elseif what == 'remove' then
    if one and redis.pcall('ZREM', one, p[4]) == 1 then out[n + 1] = {1} end
    if one and keep == 0 then live(one, floor(now / 1000), p[12]) end
  elseif what == 'top' then
    out[n + 1] = one and range(one, 0, p[5] - 1) or {}
  else
    out[n + 1] = one and around(one, p[4], p[5]) or {-1}
  end
  return n + 3
end
