-- tally: one integer, as text that GET shows. The twin of tally.py.
-- p: kind, mode, then what to do (3), amount (4), floor (5), ms to live (6), writer and number (7, 8) of what is written behind.
local function read(key, now)
  local value = redis.pcall('GET', key)
  if ended(key, now) then return 0 end
  return whole(value)
end

rules.tally = function(p, key, now, out, n)
  local what, value = p[3]
  if what == 'add' then
    clear_ended(key, now)
    if written(key, p[7], p[8]) then
      value = read(key, now)
    else
      value = repaired(key, 'INCRBY', key, digits(p[4]))
      if value > MOST or value < p[5] then
        value = max(p[5], min(MOST, value))
        call('SET', key, digits(value), 'KEEPTTL')
      end
      live(key, floor(now / 1000), p[6])
    end
  else
    value = read(key, now)
    if what == 'take' then call('DEL', key) end
  end
  out[n + 1] = value
  return n + 1
end
