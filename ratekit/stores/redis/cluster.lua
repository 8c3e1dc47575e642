-- One trip to a node of a cluster: what hit.lua does, for hits whose keys are in many slots.
--
-- ARGV[1]   now in us, or '' for the server's own clock
-- ARGV[2]   how many keys; they follow, of all limits of all hits, in order. (As KEYS they would all have to be in one slot.)
-- then      in threes: a JSON text and how many hits in a row it is for, as in hit.lua, and how many integers each of them answers
-- Reply     as hit.lua's. A hit on a key that is not here answers AWAY everywhere, and nothing was counted; PERHAPS: something was.
--
-- Redis looks at each command of a script as it does at a client's: a key of a slot that this node does not serve, and a key that is
-- absent while its slot is on its way to another node, raise an error and are not touched. A key is here or is not for as long as
-- the script runs, and a hit first reads all its keys: so what raises has charged nothing, unless a corrupt one was removed.
local LOOK, SPEND, CHECK, SHADOW, FORCE, GIVE, COUNT = 0, 1, 2, 3, 4, 5, 6
local AWAY, PERHAPS = -2 ^ 62, -2 ^ 61 -- no count is as far from 0

local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local keys, out, n, at = ARGV, {now}, 1, 2
local writing

local function one(p, key)
  local rule = rules[p[1]]
  if rule.load(p, key, now, true) then
    p.fits, out[n + 1] = true, 1
    rule.charge(p, key)
  else
    p.fits, out[n + 1] = false, 0
    rule.keep(p, key)
  end
  n = rule.seen(p, out, n + 1)
end

local function count(p, key)
  n = rules[p[1]](p, key, now, out, n)
end

local function some(limits, first)
  local admitted = true
  for j = 1, #limits do
    local p = limits[j]
    local mode = p[2]
    p.fits = rules[p[1]].load(p, keys[first + j], now, mode ~= LOOK)
    if not p.fits and (mode == SPEND or mode == CHECK) then admitted = false end
  end
  writing = #limits > 1
  for j = 1, #limits do
    local p, key = limits[j], keys[first + j]
    local mode, rule = p[2], rules[p[1]]
    if mode == FORCE or (admitted and p.fits and (mode == SPEND or mode == SHADOW)) then
      p.fits = true
      rule.charge(p, key)
    elseif mode == GIVE then
      p.fits = true
      rule.give(p, key, p[3], p[4])
    elseif mode ~= LOOK then
      rule.keep(p, key)
    end
    n = n + 1
    out[n] = p.fits and 1 or 0
    n = rule.seen(p, out, n)
  end
end

for i = 3 + tonumber(ARGV[2]), #ARGV, 3 do
  local limits, hits, width = cjson.decode(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local many, p = #limits, limits[1]
  local alone = many == 1 and (p[2] == SPEND and one or p[2] == COUNT and count)
  for _ = 1, hits do
    local before, fine = n, nil
    writing = false
    if alone then fine = pcall(alone, p, keys[at + 1]) else fine = pcall(some, limits, at) end
    if not fine then
      for k = 1, width do out[before + k] = writing and PERHAPS or AWAY end
    end
    n, at = before + width, at + many
  end
end
return out
