-- leases: who holds a place, and who waits for one across processes. The twin of leases.py. A sorted set from a holder to the
-- instant (us) at which its lease ends; beside it, while somebody waits, KEY:w from who waits to the instant at which it came, and
-- KEY:a to the instant until which it is believed to wait.
-- p: kind, mode, then what to do (3), who (4), places (5), us that a lease lasts (6), us that one who waits is believed to (7; 0: does not).
-- Reply: 1 or 0 (done or not), holders, and us until the first lease ends or those who wait.
local function lives(key)
  local last = call('ZRANGE', key, -1, -1, 'WITHSCORES')
  if last[2] then call('PEXPIREAT', key, digits(floor(tonumber(last[2]) / 1000) + 1)) end
end

local function clear(key, now)
  repaired(key, 'ZREMRANGEBYSCORE', key, '-inf', digits(now))
end

-- How many wait, when those that have not been heard of are gone.
local function clear_waiting(key, now)
  local w, a = key .. ':w', key .. ':a'
  if repaired(w, 'ZCARD', w) == 0 then
    call('DEL', a)
    return 0
  end
  repaired(a, 'ZREMRANGEBYSCORE', a, '-inf', digits(now))
  if call('ZCARD', a) ~= call('ZCARD', w) then
    for _, who in ipairs(call('ZRANGE', w, 0, -1)) do
      if not call('ZSCORE', a, who) then call('ZREM', w, who) end
    end
  end
  return call('ZCARD', w)
end

local function go(key, who)
  call('ZREM', key .. ':w', who)
  call('ZREM', key .. ':a', who)
end

local function wait(key, who, now, patience)
  local w, a = key .. ':w', key .. ':a'
  call('ZADD', w, 'NX', digits(now), who)
  call('ZADD', a, digits(now + patience), who)
  local ends = digits(floor((now + patience) / 1000) + 1)
  call('PEXPIREAT', w, ends)
  call('PEXPIREAT', a, ends)
end

local function enter(p, key, now)
  local who, held = p[4]
  clear(key, now)
  held = call('ZCARD', key)
  local waiting = clear_waiting(key, now)
  local ahead = waiting > 0 and call('ZRANK', key .. ':w', who) or waiting
  if not call('ZSCORE', key, who) then
    if held + ahead >= p[5] then
      if p[7] > 0 then wait(key, who, now, p[7]) end
      return 0, held
    end
    held = held + 1
  end
  call('ZADD', key, digits(now + p[6]), who)
  lives(key)
  if waiting > 0 then go(key, who) end
  return 1, held
end

rules.leases = function(p, key, now, out, n)
  local what, who, done, held = p[3], p[4], 0
  if what == 'enter' then
    done, held = enter(p, key, now)
  elseif what == 'look' then
    held = redis.pcall('ZCOUNT', key, '(' .. digits(now), '+inf')
    local waiting = redis.pcall('ZCOUNT', key .. ':a', '(' .. digits(now), '+inf')
    out[n + 1], out[n + 2], out[n + 3] = 1, type(held) == 'number' and held or 0, type(waiting) == 'number' and waiting or 0
    return n + 3
  else
    clear(key, now)
    if what == 'leave' then
      done = call('ZREM', key, who)
      if clear_waiting(key, now) > 0 then go(key, who) end
    elseif call('ZSCORE', key, who) then
      call('ZADD', key, digits(now + p[6]), who)
      done = 1
    end
    lives(key)
    held = call('ZCARD', key)
  end
  local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  out[n + 1], out[n + 2], out[n + 3] = done, held, first[2] and tonumber(first[2]) - now or 0
  return n + 3
end
