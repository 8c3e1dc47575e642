-- sliding_window: the twin of sliding_window.py. State: points of 12 bytes, time (7) and total modulo 2^40 (5), the base first.
-- p: rule, mode, mark, mark, then cost (5), quota (6), period in us (7), cell in us (8).
local POINT, WRAP = 12, 2 ^ 40

local function point(value, i)
  return unpack_at('>I7I5', value, i * POINT + 1)
end

-- The first point in low..high whose time is at least `time`, or high + 1. It is mostly one of the first: there it looks first, in
-- steps that double, and halves what is left then.
local function first_at(value, low, high, time)
  local step = 1
  while low <= high do
    local probe = min(high, low + step - 1)
    if (point(value, probe)) >= time then
      high = probe - 1
      break
    end
    low, step = probe + 1, step * 2
  end
  while low <= high do
    local middle = floor((low + high) / 2)
    if (point(value, middle)) >= time then high = middle - 1 else low = middle + 1 end
  end
  return low
end

-- The time of the first point that takes the units since the base to `units`. The last point always does, and may be newer than
-- its bytes in p.value.
local function time_of(p, units)
  local low, high, step = p.base + 1, p.n - 1, 1
  while low <= high do
    local probe = min(high, low + step - 1)
    local time, total = point(p.value, probe)
    if (total - p.from) % WRAP >= units then
      if step == 1 then return time end
      high = probe - 1
      break
    end
    low, step = probe + 1, step * 2
  end
  while low <= high do
    local middle = floor((low + high) / 2)
    local _, total = point(p.value, middle)
    if (total - p.from) % WRAP >= units then high = middle - 1 else low = middle + 1 end
  end
  if low >= p.n then return p.last end
  return (point(p.value, low))
end

-- A charge can move its cell's point for as long as the cell lasts, without touching the expiry.
local function save(p, key)
  call('SET', key, p.value, 'PXAT', ms_after(p.last + p[7] + p[8]))
end

rules.sliding_window = {
  load = function(p, key, now, write)
    local period = p[7]
    local value = text(key, nil, nil, write)
    local at, n, base, from, used = now, 0, 0, 0, 0
    if value then
      n = #value / POINT - 1
      if n < 1 or n % 1 ~= 0 then
        repair(key, write)
        value, n = nil, 0
      else
        p.last, p.total = point(value, n)
        if p.last > now + period then
          repair(key, write)
          value, n = nil, 0
        else
          at = max(now, p.last)
          local edge = at - period
          if p.last <= edge then
            base = n
          elseif (point(value, 1)) <= edge then
            base = first_at(value, 2, n, edge + 1) - 1
          end
          local _, total = point(value, base)
          from, used = total, (p.total - total) % WRAP
        end
      end
    end
    p.now, p.at, p.value, p.n, p.base, p.from, p.used = now, at, value, n, base, from, used
    return used + p[5] <= p[6]
  end,

  charge = function(p, key)
    local cell, at = p[8], p.at
    local cost = min(p[5], 549755813887 - p.used)
    local value = p.value
    if not value then
      value, p.n, p.total, p.last = pack('>I7I5', at - p[7], 0), 0, 0, 0
    end
    p.used = p.used + cost
    p.total = (p.total + cost) % WRAP
    local new = pack('>I7I5', at, p.total)
    if p.base < p.n and floor(at / cell) == floor(p.last / cell) then
      p.last = at
      call('SETRANGE', key, digits(p.n * POINT), new)
      revive(key, at + p[7], at + p[7] + cell)
    else
      if p.base > 0 then value = string.sub(value, p.base * POINT + 1) end
      p.value, p.n, p.base, p.last = value .. new, p.n - p.base + 1, 0, at
      save(p, key)
    end
  end,

  give = function(p, key, mark)
    local value, cell = p.value, p[8]
    if not value then return end
    local i = first_at(value, p.base + 1, p.n, mark)
    if i > p.n then return end
    local time, total = point(value, i)
    if floor(time / cell) ~= floor(mark / cell) then return end
    local _, before = point(value, i - 1)
    local own = (total - before) % WRAP
    local back = min(p[5], own)
    local parts = {string.sub(value, p.base * POINT + 1, i * POINT)}
    for j = i, p.n do
      local t, c = point(value, j)
      if j > i or back < own then parts[#parts + 1] = pack('>I7I5', t, (c - back) % WRAP) end
    end
    value = table.concat(parts)
    p.value, p.n, p.base, p.used = value, #value / POINT - 1, 0, p.used - back
    if p.n == 0 then
      call('DEL', key)
      p.value = nil
    else
      p.last, p.total = point(value, p.n)
      save(p, key)
    end
  end,

  -- A charge made elsewhere. The mark: its instant (us).
  merge = function(p, key, at)
    local cell, value = p[8], p.value
    at = min(at, p.now)
    if at <= p.at - p[7] then return end
    local cost = min(p[5], 549755813887 - p.used)
    if not value then
      p.value, p.last = pack('>I7I5I7I5', at - p[7], 0, at, cost), at
      save(p, key)
      return
    end
    -- The first point that is newer; the cell's own is that one, the one before it, or there is none.
    local i, joins = first_at(value, p.base + 1, p.n, at + 1), false
    local _, before = point(value, i - 1)
    if i > p.base + 1 and floor(point(value, i - 1) / cell) == floor(at / cell) then
      i, joins = i - 1, true
    elseif i <= p.n then
      joins = floor(point(value, i) / cell) == floor(at / cell)
    end
    local parts = {string.sub(value, p.base * POINT + 1, i * POINT)}
    if not joins then parts[2], p.last = pack('>I7I5', at, (before + cost) % WRAP), at end
    for j = i, p.n do
      local time, total = point(value, j)
      if joins and j == i then time = max(time, at) end
      parts[#parts + 1] = pack('>I7I5', time, (total + cost) % WRAP)
      p.last = time
    end
    p.value = table.concat(parts)
    save(p, key)
  end,

  keep = function(p, key)
    if p.value then revive(key, p.last + p[7], p.last + p[7] + p[8]) end
  end,

  seen = function(p, out, n)
    local cost, quota, used = p[5], p[6], p.used
    local until_ = p[7] - p.now
    local wait, more, reset = 0, 0, 0
    if not p.fits then wait = cost <= quota and time_of(p, used + cost - quota) + until_ or -1 end
    if used > 0 then
      more = time_of(p, max(1, used - quota + 1)) + until_
      reset = p.last + until_
    end
    out[n + 1], out[n + 2], out[n + 3], out[n + 4] = used, wait, more, reset
    return n + 4
  end,
}
