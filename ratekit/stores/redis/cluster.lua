-- One trip to a node of a cluster: hits whose keys are in many slots.
--
-- ARGV[1]   now in us, or '' for the server's own clock
-- ARGV[2]   how many keys; they follow, of all limits of all hits, in order. (As KEYS they would all have to be in one slot.)
-- then      in threes: a JSON text and how many hits in a row it is for, as in hit.lua, and how many integers each of them answers
-- Reply     as hit.lua's. A hit on a key that is not here answers AWAY everywhere, and nothing was counted; PERHAPS: something was.
--
-- Redis looks at each command of a script as it does at a client's: a key of a slot that this node does not serve, and a key that is
-- absent while its slot is on its way to another node, raise an error and are not touched. A key is here or is not for as long as
-- the script runs, and a hit first reads all its keys: so what raises has charged nothing, unless one was corrupt and was removed.
local AWAY, PERHAPS = -2 ^ 62, -2 ^ 61 -- no count is as far from 0
local out, n, at = {now}, 1, 2

for i = 3 + tonumber(ARGV[2]), #ARGV, 3 do
  local limits, hits, width = cjson.decode(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local many = #limits
  while hits > 0 and not pcall(run, limits, hits, ARGV, at, now, out, n) do
    -- Those before it have answered in full; of the one that raised some limits have, if they were charged.
    local done = floor((#out - n) / width)
    n, at, hits = n + done * width, at + done * many, hits - done
    local mark = many > 1 and #out > n and PERHAPS or AWAY
    for k = n + 1, n + width do out[k] = mark end
    n, at, hits = n + width, at + many, hits - 1
  end
  n, at = n + hits * width, at + hits * many
end
return out
