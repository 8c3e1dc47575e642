-- sliding_counter, a charge made elsewhere: the twin of merging.py's. The mark: its instant, its window's start (us).
rules.sliding_counter.merge = function(p, key, at, start)
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
end
