-- sliding_window, a charge made elsewhere: the twin of merging.py's. The mark: its instant (us).
rules.sliding_window.merge = function(p, key, at)
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
end
