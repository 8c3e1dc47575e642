"""
Other ways to keep a sliding window in Redis, as lean as they can be written: what `docs/decisions/state.md` compares.

Each script takes keys and [now in us or '', quota, period in us, cell in us], charges each key once if there is room, and answers
how much is used. Nothing is repaired, no waits are worked out, costs are 1: what is left out makes them faster, not slower. So
ratekit's own layout is among them, as lean as the others.
"""

HEAD = """
local call, floor = redis.call, math.floor
local now, quota, period, cell = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not now then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
local edge, out = string.format('%d', now - period), {}
local stamp, ttl = string.format('%d', now), string.format('%d', floor(period / 1000) + 1)
"""

SORTED_SET = (
    HEAD
    + """
for i, key in ipairs(KEYS) do
  call('ZREMRANGEBYSCORE', key, '-inf', edge)
  local used = call('ZCARD', key)
  if used < quota then
    used = used + 1
    call('ZADD', key, stamp, stamp .. '-' .. used)
    call('PEXPIRE', key, ttl)
  end
  out[i] = used
end
return out
"""
)

HASH = (
    HEAD
    + """
local bucket, oldest = string.format('%d', floor(now / cell)), floor((now - period) / cell)
for i, key in ipairs(KEYS) do
  local fields, used, gone = call('HGETALL', key), 0, {}
  for j = 1, #fields, 2 do
    if tonumber(fields[j]) < oldest then gone[#gone + 1] = fields[j] else used = used + fields[j + 1] end
  end
  if #gone > 0 then call('HDEL', key, unpack(gone)) end
  if used < quota then
    used = used + 1
    call('HINCRBY', key, bucket, '1')
    call('PEXPIRE', key, ttl)
  end
  out[i] = used
end
return out
"""
)

LIST = (
    HEAD
    + """
for i, key in ipairs(KEYS) do
  while true do
    local first = call('LINDEX', key, '0')
    if not first or tonumber(first) > now - period then break end
    call('LPOP', key)
  end
  local used = call('LLEN', key)
  if used < quota then
    used = used + 1
    call('RPUSH', key, stamp)
    call('PEXPIRE', key, ttl)
  end
  out[i] = used
end
return out
"""
)

POINTS = """
for i, key in ipairs(KEYS) do
  local value, base, n, used, last, total = call('GET', key), 0, -1, 0, 0, 0
  if value then
    n = #value / size - 1
    last, total = point(value, n)
    while base < n and (point(value, base + 1)) <= now - period do base = base + 1 end
    local _, before = point(value, base)
    used = total - before
  end
  if used < quota then
    used = used + 1
    local new = written(now, total + 1)
    if base < n and floor(now / cell) == floor(last / cell) then
      call('SETRANGE', key, string.format('%d', n * size), new)
    else
      value = value and string.sub(value, base * size + 1) or written(now - period, 0)
      call('SET', key, value .. new, 'PX', string.format('%d', floor((period + cell) / 1000) + 1))
    end
  end
  out[i] = used
end
return out
"""

PACKED = (
    HEAD
    + """
local size = 12
local function point(value, i) return struct.unpack('>I7I5', value, i * size + 1) end
local function written(time, total) return struct.pack('>I7I5', time, total) end
"""
    + POINTS
)

TEXT = (
    HEAD
    + """
local size = 27
local function point(value, i)
  local at = i * size
  return tonumber(string.sub(value, at + 1, at + 16)), tonumber(string.sub(value, at + 17, at + 27))
end
local function written(time, total) return string.format('%016d%011d', time, total) end
"""
    + POINTS
)

LAYOUTS = {
    "packed string, as lean": PACKED,
    "the same as decimal text": TEXT,
    "sorted set, a member per hit": SORTED_SET,
    "hash, a field per bucket": HASH,
    "list, an entry per hit": LIST,
}
