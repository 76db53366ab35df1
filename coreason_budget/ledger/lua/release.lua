-- End a hold and give back what is left of it. An expired one that was booked is refunded.
--
-- KEYS  1 hold, 2 deadlines, 3 journal, 4.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms, 3 default limits
-- reply released, amount, account ...   refunded, journal id, time, amount, payload, account ...
--       closed, account ... (was ended before)   none, account ... (was unknown)   clock, now
-- account: how it stands afterwards (see show)

local run, now, windows = run_id(), clock(ARGV[1]), windows_of(ARGV[2])
local id, defaults, accounts = id_of(KEYS[1]), each_default(ARGV[3]), load_all(4, run, windows)
local t = moment(accounts, windows, now)
if not t then return {'clock', int(now)} end

local function shown(...)
  local reply = {...}
  for i, a in ipairs(accounts) do reply[#reply + 1] = show(a, windows, t, defaults[i]) end
  return reply
end

local hold = redis.call('HMGET', KEYS[1], 'st', 'left', 'e', 'g', 'x', 'p')
local state = hold[1]

if not state then
  -- A tombstone: a reserve that was delayed on its way must not come alive after its release.
  redis.call('HSET', KEYS[1], 'st', 'closed', 'left', '0')
  redis.call('PEXPIRE', KEYS[1], CLOSED_MS)
  return shown('none')
end

if state == 'open' then
  redis.call('ZCARD', KEYS[2]) -- what is no sorted set must fail before anything is written
  if hold[3] == run then unhold(accounts, split(hold[4]), hold[2]) end
  close(KEYS[1], KEYS[2], id)
  return shown('released', hold[2])
end

if state == 'expired' and tonumber(hold[5] or 0) > 0 then
  redis.call('XLEN', KEYS[3]) -- likewise
  local journal_id = refund(KEYS[1], accounts, windows, t, KEYS[3], id .. '~refund', hold[5], id, hold[6])
  return shown('refunded', journal_id, int(t), hold[5], hold[6])
end
return shown('closed')
