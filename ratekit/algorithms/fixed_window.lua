-- fixed_window: the twin of fixed_window.py. State: a plain integer whose expiry is the end of its window.
-- p: cost, quota, period (ms).
rules.fixed_window = {
  load = function(key, p, now, write)
    local cost, quota, period = p[1], p[2], p[3]
    local now_ms = math.floor(now / 1000)
    local used, ends = count(key, write), 0
    if used then
      ends = redis.call('PEXPIRETIME', key)
      -- No expiry, or one beyond any window from now on: somebody else's doing. Such a window ends a period from now.
      if ends < 0 or ends > now_ms + period then
        ends = now_ms + period
        if write then redis.call('PEXPIREAT', key, ends) end
      end
    end
    if not used or ends <= now_ms then
      return {fits = cost <= quota, used = 0, ends = 0, now = now, now_ms = now_ms}
    end
    return {fits = used + cost <= quota, used = used, ends = ends, now = now, now_ms = now_ms}
  end,

  charge = function(key, p, s)
    local cost = p[1]
    if s.ends == 0 then
      s.ends = s.now_ms + p[3]
      redis.call('SET', key, cost, 'PXAT', s.ends)
    else
      cost = math.min(cost, 1099511627775 - s.used)
      redis.call('INCRBY', key, cost)
    end
    s.used = s.used + cost
  end,

  give = function(key, p, s, mark)
    if s.ends ~= 0 and s.ends == mark then
      local cost = math.min(p[1], s.used)
      redis.call('DECRBY', key, cost)
      s.used = s.used - cost
    end
  end,

  keep = function() end,

  seen = function(s, out)
    out[#out + 1] = s.used
    out[#out + 1] = s.ends == 0 and 0 or s.ends * 1000 - s.now
  end,
}
