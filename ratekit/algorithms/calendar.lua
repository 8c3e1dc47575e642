-- calendar: the twin of calendar.py. State: a plain integer whose expiry is the end of its month.
-- p: rule, mode, mark, mark, then cost (5), quota (6), and the starts of months in ms (7 ...), in order.
local function end_of(p, ms)
  local many = p.many or #p
  p.many = many
  for i = 8, many do
    if p[i] > ms and p[7] <= ms then return p[i] end
  end
  -- Another time altogether: on in steps of the last length.
  local length = p[many] - p[many - 1]
  return p[many] + (floor((ms - p[many]) / length) + 1) * length
end

rules.calendar = {
  load = function(p, key, now, write)
    local value = text(key, nil, nil, write)
    local ms = floor(now / 1000)
    p.now, p.used, p.ends = now, 0, end_of(p, ms)
    if value then
      if #value < 15 and string.find(value, '^[1-9]%d*$') then
        local ends = call('PEXPIRETIME', key)
        if ends < 0 or ends > ms then
          p.used = tonumber(value)
          -- No expiry, or that of another zone's month: from this hit on it is this one's.
          if ends ~= p.ends then
            if write then call('PEXPIREAT', key, digits(p.ends)) elseif ends > 0 then p.ends = ends end
          end
        end
      else
        repair(key, write)
      end
    end
    return p.used + p[5] <= p[6]
  end,

  charge = function(p, key)
    p.used = min(1099511627775, p.used + p[5])
    call('SET', key, digits(p.used), 'PXAT', digits(p.ends))
  end,

  give = function(p, key, mark)
    if p.used > 0 and p.ends * 1000 == mark then
      p.used = p.used - min(p[5], p.used)
      if p.used > 0 then call('SET', key, digits(p.used), 'PXAT', digits(p.ends)) else call('DEL', key) end
    end
  end,

  -- A charge made elsewhere. The mark: its instant (us).
  merge = function(p, key, at)
    local ms, start = floor(p.now / 1000), nil
    for i = 7, p.many do
      if p[i] <= ms then start = p[i] end
    end
    if not start or ms >= p[p.many] or floor(at / 1000) < start then return end
    p.used = min(1099511627775, p.used + p[5])
    call('SET', key, digits(p.used), 'PXAT', digits(p.ends))
  end,

  keep = function() end,

  seen = function(p, out, n)
    out[n + 1], out[n + 2] = p.used, p.used == 0 and 0 or p.ends * 1000 - p.now
    return n + 2
  end,
}
