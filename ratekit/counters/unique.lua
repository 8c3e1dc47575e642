-- unique: about how many distinct members, per bucket of time, in Redis' own HyperLogLogs. The twin of unique.py. Each bucket is a key
-- of its own, KEY:START, in the slot of KEY; without buckets it is KEY itself.
-- p: kind, mode, then what to do (3), member (4), last buckets (5), buckets kept or 0 (6), ms that one lasts at most (7), fixed length in
-- ms or 0 (8), starts of the calendar's buckets (9), ms to live without buckets (10), us since it happened (11).
-- Reply: a list of counts, one for each bucket ('series') or one for all together; 0, or 1 when the starts are of another time; now.
local function counted(keys)
  if #keys == 0 then return 0 end
  local answer = redis.pcall('PFCOUNT', unpack(keys))
  if type(answer) == 'number' then return answer end
  -- What holds something else counts nothing.
  local sound = {}
  for _, key in ipairs(keys) do
    if type(redis.pcall('PFCOUNT', key)) == 'number' then sound[#sound + 1] = key end
  end
  return #sound > 0 and call('PFCOUNT', unpack(sound)) or 0
end

rules.unique = function(p, key, now, out, n)
  local what, keep = p[3], p[6]
  if what == 'add' and keep == 0 then clear_ended(key, now) end
  local keys, counts = keys_of(key, keep, p[8], p[9], now - p[11], p[5]), {}
  out[n + 1], out[n + 2], out[n + 3] = counts, keys and 0 or 1, now
  if not keys then return n + 3 end
  if what == 'add' then
    local last = keys[#keys]
    repaired(last, 'PFADD', last, p[4])
    if keep == 0 then live(last, floor(now / 1000), p[10]) else live(last, started(p[8], p[9], now - p[11]), (keep + 1) * p[7]) end
  elseif what == 'reset' then
    for _, some in ipairs(keys) do call('DEL', some) end
  elseif what == 'series' then
    for i, some in ipairs(keys) do counts[i] = counted({some}) end
  else
    counts[1] = counted(keys)
  end
  return n + 3
end
