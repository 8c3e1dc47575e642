-- aligned_window: the twin of aligned_window.py. State: 'A', the window's end in us (7 bytes), the units used (5).
-- p: rule, mode, mark, mark, then cost (5), quota (6), period in us (7).
local function save(p, key)
  call('SET', key, pack('>I1I7I5', 65, p.ends, p.used), 'PXAT', ms_after(p.ends))
end

rules.aligned_window = {
  load = function(p, key, now, write)
    local period = p[7]
    local value = text(key, 65, 13, write)
    p.now, p.ends, p.used = now, now - fmod(now, period) + period, 0
    if value then
      local ends, used = unpack_at('>I7I5', value, 2)
      if ends > now then p.ends, p.used = min(ends, now + period), used end
    end
    return p.used + p[5] <= p[6]
  end,

  charge = function(p, key)
    p.used = min(549755813887, p.used + p[5])
    save(p, key)
  end,

  give = function(p, key, mark)
    if p.used > 0 and p.ends == mark then
      p.used = p.used - min(p[5], p.used)
      save(p, key)
    end
  end,

  merge = function(p, key, at)
    if at >= p.ends - p[7] then
      p.used = min(549755813887, p.used + p[5])
      save(p, key)
    end
  end,

  keep = function() end,

  seen = function(p, out, n)
    out[n + 1], out[n + 2] = p.used, p.ends - p.now
    return n + 2
  end,
}
