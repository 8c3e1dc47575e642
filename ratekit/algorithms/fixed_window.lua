-- fixed_window: the twin of fixed_window.py. State: a plain integer whose expiry is the end of its window.
-- p: rule, mode, mark, mark, then cost (5), quota (6), period in ms (7).
rules.fixed_window = {
  load = function(p, key, now, write)
    local period, now_ms = p[7], floor(now / 1000)
    local value = text(key, nil, nil, write)
    local used, ends = 0, 0
    if value then
      if #value < 15 and (value == '0' or string.find(value, '^[1-9]%d*$')) then
        ends = call('PEXPIRETIME', key)
        -- No expiry: somebody else's doing; or one beyond any window from now on: opened under a longer period. Such a window ends a
        -- period from this hit on; who only looks is shown it as it stands.
        if ends < 0 or (write and ends > now_ms + period) then
          ends = now_ms + period
          if write then call('PEXPIREAT', key, digits(ends)) end
        end
        if ends > now_ms then used = tonumber(value) else ends = 0 end
      else
        repair(key, write)
      end
    end
    p.now, p.used, p.ends = now, used, ends
    return used + p[5] <= p[6]
  end,

  charge = function(p, key)
    local cost = p[5]
    if p.ends == 0 then
      p.ends = floor(p.now / 1000) + p[7]
      call('SET', key, digits(cost), 'PXAT', digits(p.ends))
    else
      cost = min(cost, 1099511627775 - p.used)
      call('INCRBY', key, digits(cost))
    end
    p.used = p.used + cost
  end,

  give = function(p, key, mark)
    if p.ends ~= 0 and p.ends == mark then
      local cost = min(p[5], p.used)
      call('DECRBY', key, digits(cost))
      p.used = p.used - cost
    end
  end,

  -- A charge made elsewhere. The mark: its instant (us), its window's end (ms).
  merge = function(p, key, at, ends)
    local now_ms = floor(p.now / 1000)
    if p.ends == 0 then
      ends = min(ends, now_ms + p[7])
      if ends > now_ms then call('SET', key, digits(p[5]), 'PXAT', digits(ends)) end
    elseif floor(at / 1000) >= p.ends - p[7] then
      call('INCRBY', key, digits(min(p[5], 1099511627775 - p.used)))
    end
  end,

  keep = function() end,

  seen = function(p, out, n)
    out[n + 1], out[n + 2] = p.used, p.ends == 0 and 0 or p.ends * 1000 - p.now
    return n + 2
  end,
}
