-- One trip: any number of hits.
--
-- KEYS      the keys of all limits of all hits, in order
-- ARGV[1]   now in us, or '' for the server's own clock
-- ARGV[2..] in pairs: a JSON text that says what is asked (loop.lua), and how many hits in a row it is for
-- Reply     now, then the answers of all hits
local out, n, at = {now}, 1, 0

for i = 2, #ARGV, 2 do
  local limits, hits = cjson.decode(ARGV[i]), tonumber(ARGV[i + 1])
  n = run(limits, hits, KEYS, at, now, out, n)
  at = at + #limits * hits
end
return out
