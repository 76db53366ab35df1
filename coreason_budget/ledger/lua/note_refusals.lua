-- Note refused calls: what was decided, under its reference; how many there were each day; models that have no price.
-- None of it is read for a decision. A batch that is sent again after a lost reply is counted once.
--
-- KEYS  1 mark of the batch, 2 notes, 3 their times, 4 counts, 5 models, 6 their times
-- ARGV  1 now in ms ('' = the server's TIME), 2 how long notes are kept in ms, 3 how many, 4 how long models are kept in ms,
--       5 how many, 6 the first day whose counts are kept, 7 how long the last of them are kept in ms,
--       8 numbers of notes, counts and models 'n c m', then for each note its reference, ms and text; for each count its
--       field 'day level' and how many more; for each model its name, ms and how many more
-- reply ok   before

local now = clock(ARGV[1])
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', 60) then return {'before'} end

local function forget(values, times, age, most)
  local gone = redis.call('ZRANGEBYSCORE', times, '-inf', int(now - age), 'LIMIT', 0, 1000)
  local more = redis.call('ZCARD', times) - most
  if #gone == 0 and more > 0 then gone = redis.call('ZRANGE', times, 0, int(math.min(more, 1000) - 1)) end
  if #gone > 0 then
    redis.call('HDEL', values, unpack(gone))
    redis.call('ZREM', times, unpack(gone))
  end
  redis.call('PEXPIRE', values, age)
  redis.call('PEXPIRE', times, age)
end

local at = 9
local notes, counts, models = string.match(ARGV[8], '(%d+) (%d+) (%d+)')
for _ = 1, notes do
  redis.call('ZADD', KEYS[3], ARGV[at + 1], ARGV[at])
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 2])
  at = at + 3
end
local is_new = redis.call('HSETNX', KEYS[4], 'since', int(now)) == 1
for _ = 1, counts do
  is_new = redis.call('HINCRBY', KEYS[4], ARGV[at], ARGV[at + 1]) == tonumber(ARGV[at + 1]) or is_new
  at = at + 2
end
for _ = 1, models do
  local known = string.match(redis.call('HGET', KEYS[5], ARGV[at]) or '0', '^%d+')
  redis.call('ZADD', KEYS[6], ARGV[at + 1], ARGV[at])
  redis.call('HSET', KEYS[5], ARGV[at], int(known + ARGV[at + 2]) .. ' ' .. ARGV[at + 1])
  at = at + 3
end

if is_new then -- once a day, and level
  for _, field in ipairs(redis.call('HKEYS', KEYS[4])) do
    if field ~= 'since' and field < ARGV[6] then redis.call('HDEL', KEYS[4], field) end
  end
end
redis.call('PEXPIRE', KEYS[4], ARGV[7])
forget(KEYS[2], KEYS[3], ARGV[2], tonumber(ARGV[3]))
forget(KEYS[5], KEYS[6], ARGV[4], tonumber(ARGV[5]))
return {'ok'}
