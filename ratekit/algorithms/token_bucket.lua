-- token_bucket: the twin of token_bucket.py. State: 'T', the instant in whole us (7 bytes), the remainder in N-ths (4), N (4) and
-- the period (7) it was written under.
-- p: cost, N, period (us), then the cost's time and the whole burst's time, each as whole us and N-ths.
local CENTURY = 36525 * 86400000000

-- (a * b + r) / c as a quotient and a remainder, exact: a < 2^53, b and c < 2^39, in pieces of 13 bits. More than a century is one.
local function multiply_divide(a, b, c, r)
  local quotient, rest = 0, 0
  for piece = 4, 0, -1 do
    local size = 2 ^ (13 * piece)
    local digit = math.floor(a / size)
    a = a - digit * size
    local sum = rest * 8192 + digit * b
    rest = math.fmod(sum, c)
    if quotient > 1e12 then return CENTURY, 0 end
    quotient = quotient * 8192 + (sum - rest) / c
  end
  local sum = rest + r
  rest = math.fmod(sum, c)
  quotient = quotient + (sum - rest) / c
  if quotient >= CENTURY then return CENTURY, 0 end
  return quotient, rest
end

local function save_bucket(key, p, s)
  local value = 'T' .. pack('>I7I4I4I7', s.now + s.whole, s.rest, p[2], p[3])
  redis.call('SET', key, value, 'PXAT', ms_after(s.now + s.whole))
  s.left, s.left_rest, s.n, s.written = s.whole, s.rest, p[2], p[3]
end

rules.token_bucket = {
  load = function(key, p, now, write)
    local quota, period = p[2], p[3]
    local value = text(key, 'T', 23, write)
    local whole, rest, n, written = 0, 0, quota, period
    local left, left_rest = 0, 0
    if value then
      local instant
      instant, rest, n, written = unpack(value, '>I7I4I4I7')
      whole = instant - now
      if whole > CENTURY or n < 1 or n > 1000000000 or rest >= n or written < 1000 or written > 315619200000000 then
        whole, rest, n, written = 0, 0, quota, period
        repair(key, write)
      elseif whole < 0 or (whole == 0 and rest == 0) then
        whole, rest, n, written = 0, 0, quota, period
      else
        left, left_rest = whole, rest
        if n ~= quota then whole, rest = multiply_divide(whole, n, quota, rest) end
        if written ~= period then
          if rest > 0 then whole = whole + 1 end
          -- Periods are whole milliseconds, below 2^39 of them.
          whole, rest = multiply_divide(whole, period / 1000, written / 1000, 0)
          if rest > 0 then whole, rest = whole + 1, 0 end
        end
      end
    end
    local due, due_rest = whole + p[4], rest + p[5]
    if due_rest >= quota then due, due_rest = due + 1, due_rest - quota end
    local fits = due < p[6] or (due == p[6] and due_rest <= p[7])
    return {
      fits = fits, now = now, whole = whole, rest = rest, due = due, due_rest = due_rest,
      left = left, left_rest = left_rest, n = n, written = written,
    }
  end,

  charge = function(key, p, s)
    s.whole, s.rest = s.due, s.due_rest
    if s.whole >= CENTURY then s.whole, s.rest = CENTURY, 0 end
    save_bucket(key, p, s)
  end,

  -- Only the part of the charge that is still ahead is given back: mark is where the charge ended.
  give = function(key, p, s, mark, mark_rest)
    local whole, rest = mark - s.now, mark_rest
    if whole < 0 then return end
    if whole > p[4] or (whole == p[4] and rest > p[5]) then whole, rest = p[4], p[5] end
    if whole > s.whole or (whole == s.whole and rest > s.rest) then whole, rest = s.whole, s.rest end
    if whole == 0 and rest == 0 then return end
    s.whole, s.rest = s.whole - whole, s.rest - rest
    if s.rest < 0 then s.whole, s.rest = s.whole - 1, s.rest + p[2] end
    save_bucket(key, p, s)
  end,

  keep = function(key, p, s)
    revive(key, s.now + s.whole)
  end,

  seen = function(s, out)
    out[#out + 1] = s.left
    out[#out + 1] = s.left_rest
    out[#out + 1] = s.n
    out[#out + 1] = s.written
  end,
}
