-- End one hold that is past its deadline, by the policy that it was made with.
--
-- KEYS  1 hold, 2 deadlines, 3 journal, 4.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms
-- reply expired, journal id, time, amount, payload   released, amount   none   due, deadline   clock, now

local run, now, windows = run_id(), clock(ARGV[1]), windows_of(ARGV[2])
local id = id_of(KEYS[1])
local hold = redis.call('HMGET', KEYS[1], 'st', 'left', 'e', 'g', 'dl', 'pol', 'p')

if hold[1] ~= 'open' or hold[3] ~= run then
  redis.call('ZREM', KEYS[2], id)
  return {'none'}
end
if tonumber(hold[5]) > now then return {'due', hold[5]} end

redis.call('ZCARD', KEYS[2]) -- what is of another type must fail before anything is written
redis.call('XLEN', KEYS[3])
local accounts = load_all(4, run, windows)
local left = hold[2]
if hold[6] == 'release' or tonumber(left) == 0 then
  unhold(accounts, split(hold[4]), left)
  close(KEYS[1], KEYS[2], id)
  return {'released', left}
end

local t = moment(accounts, windows, now)
if not t then return {'clock', int(now)} end
unhold(accounts, split(hold[4]), left)
book(accounts, windows, t, left)
redis.call('HSET', KEYS[1], 'st', 'expired', 'left', '0', 'x', left)
redis.call('PEXPIRE', KEYS[1], KEPT_MS)
redis.call('ZREM', KEYS[2], id)
return {'expired', journal(KEYS[3], 'expired:' .. id, left, 'expired', t, id, hold[7]), int(t), left, hold[7]}
