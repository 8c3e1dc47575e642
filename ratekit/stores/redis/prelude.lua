-- What the rules share: reading a key that may be anything, repairing it alone, packing integers, expiries in whole milliseconds.
-- Every number in here is an integer below 2^53; nothing but redis.call and struct ever turns one into text.
local rules, call, floor, fmod, min, max = {}, redis.call, math.floor, math.fmod, math.min, math.max
local format = string.format
local struct_library = rawget(_G, 'struct')
local pack, unpack_at

if struct_library then
  pack, unpack_at = struct_library.pack, struct_library.unpack
else
  -- The same for servers without struct: formats of unsigned big-endian integers.
  local spread = rawget(_G, 'unpack') or table.unpack
  pack = function(format, ...)
    local bytes, values, which = {}, {...}, 0
    for size in string.gmatch(format, 'I(%d)') do
      which = which + 1
      local value, digits = values[which], {}
      for i = tonumber(size), 1, -1 do
        digits[i] = string.char(value % 256)
        value = floor(value / 256)
      end
      bytes[which] = table.concat(digits)
    end
    return table.concat(bytes)
  end
  unpack_at = function(format, value, position)
    local values = {}
    for size in string.gmatch(format, 'I(%d)') do
      local number = 0
      for i = position, position + tonumber(size) - 1 do number = number * 256 + string.byte(value, i) end
      values[#values + 1] = number
      position = position + tonumber(size)
    end
    return spread(values)
  end
end

-- A whole number as a command takes it. Redis would format it too, as a fraction, which costs as much as the command.
local function digits(number)
  return format('%d', number)
end

-- The first whole millisecond by which `now` (us) has surely passed.
local function ms_after(now)
  return format('%d', floor(now / 1000) + 1)
end

-- A key whose value cannot be ours is forgotten, it alone, unless this hit only looks.
local function repair(key, write)
  if write then call('DEL', key) end
end

-- A key that has no expiry gets the one that its state asks for; and so does one that was written under a shorter period, if its state
-- still counts at `least` (us).
local function revive(key, least, till)
  if call('PEXPIRETIME', key) <= floor(least / 1000) then call('PEXPIREAT', key, ms_after(till)) end
end

-- The value of a key if it is a string, of the given first letter and size where they are given; else nil, and repaired.
local function text(key, letter, size, write)
  local value = redis.pcall('GET', key)
  if not value then return nil end
  if type(value) == 'table' then
    if string.sub(value.err, 1, 9) ~= 'WRONGTYPE' then error(value) end
  elseif not letter or (#value == size and string.byte(value) == letter) then
    return value
  end
  repair(key, write)
  return nil
end
