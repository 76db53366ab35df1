-- Set the limit overrides of an account, declare them outdated, or go on with the known ones.
--
-- KEYS  1 account
-- ARGV  1 now in ms ('' = the server's TIME), 2 version that the loader saw before it read ('' = outdate: raise the version),
--       3 the new version of an outdating, or 'known' to count the values that are there as fresh,
--       4 5 6 overrides of d, w, m ('u' unlimited, '' none)
-- reply set   outdated   known   superseded (a newer version is there, or they were outdated)   none (no such account)

local key = KEYS[1]
if redis.call('EXISTS', key) == 0 then return {'none'} end
if ARGV[2] == '' then
  redis.call('HSET', key, 'lv', ARGV[3])
  redis.call('HDEL', key, 'la')
  return {'outdated'}
end
if redis.call('HGET', key, 'lv') ~= ARGV[2] then return {'superseded'} end
if ARGV[3] == 'known' then
  if redis.call('HEXISTS', key, 'la') == 0 then return {'superseded'} end
  redis.call('HSET', key, 'la', int(clock(ARGV[1])))
  return {'known'}
end
set_limits(key, 4, clock(ARGV[1]))
return {'set'}
