-- sliding_window: the twin of sliding_window.py. State: points of 12 bytes, time (7) and total modulo 2^40 (5), the base first.
-- p: cost, quota, period (us), cell (us).
local POINT, WRAP = 12, 2 ^ 40

local function point(value, i)
  return unpack(value, '>I7I5', i * POINT + 1)
end

-- The first index in low..high for which test(time, units since the base) holds, or high + 1. The test is monotone.
local function first_point(value, low, high, from, test)
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local time, total = point(value, middle)
    if test(time, (total - from) % WRAP) then high = middle - 1 else low = middle + 1 end
  end
  return low
end

-- The time of the first point that takes the units since the base to `units`. The last point always does, and may be newer than
-- its bytes in s.value.
local function time_of(s, units)
  local i = first_point(s.value, s.base + 1, s.n - 1, s.from, function(_, since) return since >= units end)
  return i == s.n and s.last or (point(s.value, i))
end

-- A charge can move its cell's point for as long as the cell lasts, without touching the expiry.
local function end_of(p, time)
  return time + p[3] + p[4]
end

rules.sliding_window = {
  load = function(key, p, now, write)
    local cost, quota, period = p[1], p[2], p[3]
    local value = text(key, nil, nil, write)
    if value and (#value < 2 * POINT or #value % POINT ~= 0) then
      repair(key, write)
      value = nil
    end
    local s = {now = now, at = now, value = value, n = 0, base = 0, from = 0, used = 0}
    if value then
      s.n = #value / POINT - 1
      s.last, s.total = point(value, s.n)
      if s.last > now + period then
        repair(key, write)
        s.value, s.n = nil, 0
      else
        s.at = math.max(now, s.last)
        local edge = s.at - period
        if s.last <= edge then
          s.base = s.n
        elseif point(value, 1) <= edge then
          s.base = first_point(value, 2, s.n, 0, function(time) return time > edge end) - 1
        end
        local _, from = point(value, s.base)
        s.from = from
        s.used = (s.total - from) % WRAP
      end
    end
    s.fits = s.used + cost <= quota
    return s
  end,

  charge = function(key, p, s)
    local period, cell = p[3], p[4]
    local cost = math.min(p[1], 549755813887 - s.used)
    s.used = s.used + cost
    if not s.value then
      s.value, s.n, s.total = pack('>I7I5', s.at - period, 0), 0, 0
    end
    s.total = (s.total + cost) % WRAP
    local new = pack('>I7I5', s.at, s.total)
    if s.base < s.n and math.floor(s.at / cell) == math.floor(s.last / cell) then
      redis.call('SETRANGE', key, s.n * POINT, new)
      revive(key, end_of(p, s.at))
    else
      s.value = string.sub(s.value, s.base * POINT + 1) .. new
      s.n, s.base = s.n - s.base + 1, 0
      redis.call('SET', key, s.value, 'PXAT', ms_after(end_of(p, s.at)))
    end
    s.last = s.at
  end,

  give = function(key, p, s, mark)
    if not s.value then return end
    local cell = p[4]
    local i = first_point(s.value, s.base + 1, s.n, s.from, function(time) return time >= mark end)
    if i > s.n then return end
    local time, total = point(s.value, i)
    if math.floor(time / cell) ~= math.floor(mark / cell) then return end
    local _, before = point(s.value, i - 1)
    local own = (total - before) % WRAP
    local back = math.min(p[1], own)
    local parts = {string.sub(s.value, s.base * POINT + 1, i * POINT)}
    for j = i, s.n do
      local t, c = point(s.value, j)
      if j > i or back < own then parts[#parts + 1] = pack('>I7I5', t, (c - back) % WRAP) end
    end
    s.value = table.concat(parts)
    s.n, s.base = #s.value / POINT - 1, 0
    s.used = s.used - back
    if s.n == 0 then
      redis.call('DEL', key)
      s.value = nil
    else
      s.last, s.total = point(s.value, s.n)
      redis.call('SET', key, s.value, 'PXAT', ms_after(end_of(p, s.last)))
    end
  end,

  keep = function(key, p, s)
    if s.value then revive(key, end_of(p, s.last)) end
  end,

  seen = function(s, out, p)
    local cost, quota, period = p[1], p[2], p[3]
    local wait, more, reset = 0, 0, 0
    if not s.fits then
      wait = -1
      if cost <= quota then wait = time_of(s, s.used + cost - quota) + period - s.now end
    end
    if s.used > 0 then
      more = time_of(s, math.max(1, s.used - quota + 1)) + period - s.now
      reset = s.last + period - s.now
    end
    out[#out + 1] = s.used
    out[#out + 1] = wait
    out[#out + 1] = more
    out[#out + 1] = reset
  end,
}
