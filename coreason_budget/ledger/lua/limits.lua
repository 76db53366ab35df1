-- Set the limit overrides of an account, or declare them outdated.
--
-- KEYS  1 account
-- ARGV  1 now in ms ('' = the server's TIME), 2 version that the loader saw before it read ('' = outdate: raise the version),
--       3 the new version of an outdating, 4 5 6 overrides of d, w, m ('u' unlimited, '' none)
-- reply set   outdated   superseded (a newer version is there)   none (no such account)

local key = KEYS[1]
if redis.call('EXISTS', key) == 0 then return {'none'} end
if ARGV[2] == '' then
  redis.call('HSET', key, 'lv', ARGV[3])
  redis.call('HDEL', key, 'la')
  return {'outdated'}
end
if redis.call('HGET', key, 'lv') ~= ARGV[2] then return {'superseded'} end
for i, p in ipairs(PERIODS) do
  if ARGV[3 + i] == '' then
    redis.call('HDEL', key, p.l)
  else
    redis.call('HSET', key, p.l, ARGV[3 + i])
  end
end
redis.call('HSET', key, 'la', int(clock(ARGV[1])))
return {'set'}
