-- sliding_counter: the twin of sliding_counter.py. State: 'C', start (7 bytes), current (5), previous (4).
-- p: cost, quota, period (us), unit (us), units.
local function save_counter(key, p, s)
  redis.call('SET', key, 'C' .. pack('>I7I5I4', s.start, s.current, s.previous), 'PXAT', ms_after(s.start + 2 * p[3]))
end

rules.sliding_counter = {
  load = function(key, p, now, write)
    local cost, quota, period, unit, units = p[1], p[2], p[3], p[4], p[5]
    local value = text(key, 'C', 17, write)
    local start, current, previous = now, 0, 0
    if value then
      start, current, previous = unpack(value, '>I7I5I4')
      if start > now + period then
        start, current, previous = now, 0, 0
        repair(key, write)
      elseif now - start >= 2 * period then
        start, current, previous = now, 0, 0
      elseif now - start >= period then
        start, current, previous = start + period, 0, math.min(current, 1073741824)
      end
    end
    local elapsed = math.max(0, now - start)
    local weight = previous * (units - math.floor(elapsed / unit))
    local rest = math.fmod(weight, units)
    local used = current + (weight - rest) / units + (rest > 0 and 1 or 0)
    return {fits = used + cost <= quota, start = start, elapsed = elapsed, current = current, previous = previous}
  end,

  charge = function(key, p, s)
    s.current = math.min(s.current + p[1], 549755813887)
    save_counter(key, p, s)
  end,

  give = function(key, p, s, mark)
    if s.start == mark and s.current > 0 then
      s.current = math.max(0, s.current - p[1])
      save_counter(key, p, s)
    elseif s.start - p[3] == mark and s.previous > 0 then
      s.previous = math.max(0, s.previous - p[1])
      save_counter(key, p, s)
    end
  end,

  keep = function(key, p, s)
    revive(key, s.start + 2 * p[3])
  end,

  seen = function(s, out)
    out[#out + 1] = s.elapsed
    out[#out + 1] = s.current
    out[#out + 1] = s.previous
  end,
}
