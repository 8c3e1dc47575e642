-- token_bucket: the twin of token_bucket.py. State: 'T', the instant in whole us (7 bytes), the remainder in N-ths (4), N (4) and
-- the period (7) it was written under.
-- p: rule, mode, mark, mark, then cost (5), N (6), period in us (7), the cost's time as whole us (8) and N-ths (9), the whole
-- burst's time likewise (10, 11).
local CENTURY = 36525 * 86400000000

-- (a * b + r) / c as a quotient and a remainder, exact: a < 2^53, b and c < 2^39, in pieces of 13 bits. More than a century is one.
local function multiply_divide(a, b, c, r)
  local quotient, rest = 0, 0
  for piece = 4, 0, -1 do
    local size = 2 ^ (13 * piece)
    local digit = floor(a / size)
    a = a - digit * size
    local sum = rest * 8192 + digit * b
    rest = fmod(sum, c)
    if quotient > 1e12 then return CENTURY, 0 end
    quotient = quotient * 8192 + (sum - rest) / c
  end
  local sum = rest + r
  rest = fmod(sum, c)
  quotient = quotient + (sum - rest) / c
  if quotient >= CENTURY then return CENTURY, 0 end
  return quotient, rest
end

local function save(p, key)
  local n, period = p[6], p[7]
  call('SET', key, pack('>I1I7I4I4I7', 84, p.now + p.whole, p.rest, n, period), 'PXAT', ms_after(p.now + p.whole))
  p.left, p.left_rest, p.n, p.written = p.whole, p.rest, n, period
end

-- Whether the rule's rate is higher than that of the state: N * written > n * period, of periods in whole milliseconds.
local function quicker(p)
  local n, period = p.n, p.written
  if period == p[7] then return p[6] > n end
  local quotient, rest = multiply_divide(p[6], period / 1000, p[7] / 1000, 0)
  return quotient > n or (quotient == n and rest > 0)
end

rules.token_bucket = {
  load = function(p, key, now, write)
    local quota, period = p[6], p[7]
    local whole, rest, n, written = 0, 0, quota, period
    p.now, p.left, p.left_rest = now, 0, 0
    local value = text(key, 84, 23, write)
    if value then
      local instant
      instant, rest, n, written = unpack_at('>I7I4I4I7', value, 2)
      whole = instant - now
      if whole > CENTURY or n < 1 or n > 1000000000 or rest >= n or written < 1000 or written > 315619200000000 then
        whole, rest, n, written = 0, 0, quota, period
        repair(key, write)
      elseif whole < 0 or (whole == 0 and rest == 0) then
        whole, rest, n, written = 0, 0, quota, period
      else
        p.left, p.left_rest = whole, rest
        if n ~= quota then whole, rest = multiply_divide(whole, n, quota, rest) end
        if written ~= period then
          if rest > 0 then whole = whole + 1 end
          -- Periods are whole milliseconds, below 2^39 of them.
          whole, rest = multiply_divide(whole, period / 1000, written / 1000, 0)
          if rest > 0 then whole, rest = whole + 1, 0 end
        end
      end
    end
    local due, due_rest = whole + p[8], rest + p[9]
    if due_rest >= quota then due, due_rest = due + 1, due_rest - quota end
    p.n, p.written, p.whole, p.rest, p.due, p.due_rest = n, written, whole, rest, due, due_rest
    return due < p[10] or (due == p[10] and due_rest <= p[11])
  end,

  charge = function(p, key)
    p.whole, p.rest = p.due, p.due_rest
    if p.whole >= CENTURY then p.whole, p.rest = CENTURY, 0 end
    save(p, key)
  end,

  -- Only the part of the charge that is still ahead is given back: mark is where the charge ended.
  give = function(p, key, mark, mark_rest)
    local whole, rest = mark - p.now, mark_rest
    if whole < 0 then return end
    if whole > p[8] or (whole == p[8] and rest > p[9]) then whole, rest = p[8], p[9] end
    if whole > p.whole or (whole == p.whole and rest > p.rest) then whole, rest = p.whole, p.rest end
    if whole == 0 and rest == 0 then return end
    p.whole, p.rest = p.whole - whole, p.rest - rest
    if p.rest < 0 then p.whole, p.rest = p.whole - 1, p.rest + p[6] end
    save(p, key)
  end,

  -- A charge made elsewhere. The mark: when the bucket is full after it (us, N-ths).
  merge = function(p, key, mark, mark_rest)
    local whole, rest = mark - p.now, mark_rest
    if whole < 0 then return end
    if whole > p[8] or (whole == p[8] and rest > p[9]) then whole, rest = p[8], p[9] end
    if whole == 0 and rest == 0 then return end
    p.whole, p.rest = p.whole + whole, p.rest + rest
    if p.rest >= p[6] then p.whole, p.rest = p.whole + 1, p.rest - p[6] end
    if p.whole >= CENTURY then p.whole, p.rest = CENTURY, 0 end
    save(p, key)
  end,

  -- What a slower rate wrote is paid back at this one from now on. The other way round a refusal would make somebody wait longer.
  keep = function(p, key)
    if not quicker(p) then return revive(key, 0, p.now + p.left) end
    local ends = call('PEXPIRETIME', key)
    save(p, key)
    -- Sooner than it was to be gone already; unless it is damaged, and then it goes when it was to go.
    if ends > 0 and ends * 1000 < p.now + p.whole then call('PEXPIREAT', key, digits(ends)) end
  end,

  seen = function(p, out, n)
    out[n + 1], out[n + 2], out[n + 3], out[n + 4] = p.left, p.left_rest, p.n, p.written
    return n + 4
  end,
}
