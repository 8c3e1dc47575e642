-- calendar, a charge made elsewhere: the twin of merging.py's. The mark: its instant (us).
rules.calendar.merge = function(p, key, at)
  local ms, start = floor(p.now / 1000), nil
  for i = 7, p.many do
    if p[i] <= ms then start = p[i] end
  end
  if not start or ms >= p[p.many] or floor(at / 1000) < start then return end
  p.used = min(1099511627775, p.used + p[5])
  call('SET', key, digits(p.used), 'PXAT', digits(p.ends))
end
