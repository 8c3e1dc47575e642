-- What is done to hits, on one server as on a node of a cluster: each on any number of limits, each all-or-nothing, in order.
--
-- `limits` says of each limit [rule, mode, mark, mark, the rule's numbers ...]; or it is a counter's command, alone: [kind, COUNT,
-- what the kind is told ...]. It is for so many `hits` in a row, whose keys are in `keys` from `at` on, and whose answers go into
-- `out` from `n` on: per limit 1 or 0 (it fits or not) and what its rule saw, integers only.
--
-- A limit's table `p` is also where its rule keeps what it loaded, from one hit to the next: no hit makes tables of its own.
local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local function run(limits, hits, keys, at, now, out, n)
  local LOOK, SPEND, CHECK, SHADOW, FORCE, GIVE, COUNT, MERGE = 0, 1, 2, 3, 4, 5, 6, 7
  local many = #limits
  if many == 1 and limits[1][2] == SPEND then
    -- On one limit alone nothing else has a say.
    local p = limits[1]
    local rule = rules[p[1]]
    local load, charge, keep, seen = rule.load, rule.charge, rule.keep, rule.seen
    for k = at + 1, at + hits do
      local key = keys[k]
      if load(p, key, now, true) then
        p.fits, out[n + 1] = true, 1
        charge(p, key)
      else
        p.fits, out[n + 1] = false, 0
        keep(p, key)
      end
      n = seen(p, out, n + 1)
    end
  elseif many == 1 and limits[1][2] == COUNT then
    -- A counter refuses nothing and knows itself what is to be done.
    local p = limits[1]
    local count = rules[p[1]]
    for k = at + 1, at + hits do n = count(p, keys[k], now, out, n) end
  else
    for _ = 1, hits do
      local admitted = true
      for j = 1, many do
        local p = limits[j]
        local mode = p[2]
        p.fits = rules[p[1]].load(p, keys[at + j], now, mode ~= LOOK)
        if not p.fits and (mode == SPEND or mode == CHECK) then admitted = false end
      end
      for j = 1, many do
        local p, key = limits[j], keys[at + j]
        local mode, rule = p[2], rules[p[1]]
        if mode == FORCE or (admitted and p.fits and (mode == SPEND or mode == SHADOW)) then
          p.fits = true
          rule.charge(p, key)
        elseif mode == GIVE then
          p.fits = true
          rule.give(p, key, p[3], p[4])
        elseif mode == MERGE then
          rule.load(p, key, now, true) -- a hit may bring several charges into one key
          rule.merge(p, key, p[3], p[4])
          rule.load(p, key, now, false)
          p.fits = true
        elseif mode ~= LOOK then
          rule.keep(p, key)
        end
        n = n + 1
        out[n] = p.fits and 1 or 0
        n = rule.seen(p, out, n)
      end
      at = at + many
    end
  end
  return n
end
