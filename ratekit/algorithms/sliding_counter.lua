-- sliding_counter: the twin of sliding_counter.py. State: 'C', start (7 bytes), current (5), previous (4).
-- p: rule, mode, mark, mark, then cost (5), quota (6), period in us (7), unit in us (8), units (9).
local function save(p, key)
  call('SET', key, pack('>I1I7I5I4', 67, p.start, p.current, p.previous), 'PXAT', ms_after(p.start + 2 * p[7]))
end

rules.sliding_counter = {
  load = function(p, key, now, write)
    local period, units = p[7], p[9]
    local value = text(key, 67, 17, write)
    local start, current, previous = now, 0, 0
    if value then
      start, current, previous = unpack_at('>I7I5I4', value, 2)
      local since = now - start
      if since < -period then
        start, current, previous = now, 0, 0
        repair(key, write)
      elseif since >= 2 * period then
        start, current, previous = now, 0, 0
      elseif since >= period then
        start, current, previous = start + period, 0, min(current, 1073741824)
      end
    end
    local elapsed = max(0, now - start)
    local used = current
    if previous > 0 then
      local weight = previous * (units - floor(elapsed / p[8]))
      local rest = fmod(weight, units)
      used = used + (weight - rest) / units + (rest > 0 and 1 or 0)
    end
    p.start, p.elapsed, p.current, p.previous = start, elapsed, current, previous
    return used + p[5] <= p[6]
  end,

  charge = function(p, key)
    p.current = min(p.current + p[5], 549755813887)
    save(p, key)
  end,

  give = function(p, key, mark)
    if p.start == mark and p.current > 0 then
      p.current = max(0, p.current - p[5])
      save(p, key)
    elseif p.start - p[7] == mark and p.previous > 0 then
      p.previous = max(0, p.previous - p[5])
      save(p, key)
    end
  end,

  -- A charge made elsewhere. The mark: its instant, its window's start (us).
  merge = function(p, key, at, start)
    local period, cost, now = p[7], p[5], p.start + p.elapsed
    at = min(at, now)
    if p.current == 0 and p.previous == 0 then
      p.start = start <= at and at < start + period and start or at
      if now - p.start < period then
        p.current = cost
      elseif now - p.start < 2 * period then
        p.start, p.previous = p.start + period, min(cost, 1073741824)
      else
        return
      end
    elseif at >= p.start then
      p.current = min(549755813887, p.current + cost)
    elseif at >= p.start - period then
      p.previous = min(1073741824, p.previous + cost)
    else
      return
    end
    save(p, key)
  end,

  keep = function(p, key)
    local till = p.start + 2 * p[7]
    revive(key, p.current > 0 and till or p.previous > 0 and till - p[7] or 0, till)
  end,

  seen = function(p, out, n)
    out[n + 1], out[n + 2], out[n + 3] = p.elapsed, p.current, p.previous
    return n + 3
  end,
}
