-- One trip: any number of hits, each on any number of limits, each hit all-or-nothing, in order.
--
-- KEYS      the keys of all limits of all hits, in order
-- ARGV[1]   now in us, or '' for the server's own clock
-- ARGV[2..] one text per hit: its limits, separated by '|'; a limit is mode, mark, mark, then its rule and the rule's numbers,
--           separated by spaces
-- Reply     now, then per limit 1 or 0 (it fits or not) and what its rule saw: integers only
local LOOK, SPEND, CHECK, SHADOW, FORCE, GIVE = 0, 1, 2, 3, 4, 5

local function parse(words)
  local limits = {}
  for part in string.gmatch(words, '[^|]+') do
    local mode, mark, mark_rest, rule, rest = string.match(part, '^(%d) (%d+) (%d+) ([%l_]+) (.*)$')
    local p = {mode = tonumber(mode), mark = tonumber(mark), mark_rest = tonumber(mark_rest), rule = rules[rule]}
    for number in string.gmatch(rest, '%d+') do p[#p + 1] = tonumber(number) end
    limits[#limits + 1] = p
  end
  return limits
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local out, parsed, at = {now}, {}, 0
for i = 2, #ARGV do
  local limits = parsed[ARGV[i]]
  if not limits then
    limits = parse(ARGV[i])
    parsed[ARGV[i]] = limits
  end
  local states, admitted = {}, true
  for j, p in ipairs(limits) do
    local s = p.rule.load(KEYS[at + j], p, now, p.mode ~= LOOK)
    states[j] = s
    if not s.fits and (p.mode == SPEND or p.mode == CHECK) then admitted = false end
  end
  for j, p in ipairs(limits) do
    local key, mode, s = KEYS[at + j], p.mode, states[j]
    if mode == FORCE then
      s.fits = true
      p.rule.charge(key, p, s)
    elseif admitted and s.fits and (mode == SPEND or mode == SHADOW) then
      p.rule.charge(key, p, s)
    elseif mode == GIVE then
      s.fits = true
      p.rule.give(key, p, s, p.mark, p.mark_rest)
    elseif mode ~= LOOK then
      p.rule.keep(key, p, s)
    end
    out[#out + 1] = s.fits and 1 or 0
    p.rule.seen(s, out, p)
  end
  at = at + #limits
end
return out
