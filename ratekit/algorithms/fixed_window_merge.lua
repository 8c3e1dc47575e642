-- fixed_window, a charge made elsewhere: the twin of merging.py's. The mark: its instant (us), its window's end (ms).
rules.fixed_window.merge = function(p, key, at, ends)
  local now_ms = floor(p.now / 1000)
  if p.ends == 0 then
    ends = min(ends, now_ms + p[7])
    if ends > now_ms then call('SET', key, digits(p[5]), 'PXAT', digits(ends)) end
  elseif floor(at / 1000) >= p.ends - p[7] then
    call('INCRBY', key, digits(min(p[5], 1099511627775 - p.used)))
  end
end
