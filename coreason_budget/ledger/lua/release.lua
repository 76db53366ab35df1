-- End a hold and give back what is left of it. An expired one that was booked is refunded.
--
-- KEYS  1 hold, 2 deadlines, 3 journal, 4.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms
-- reply released, amount   refunded, journal id, time, amount, payload   closed (was ended before)   none (was unknown)
--       clock, now

local run, now, windows = run_id(), clock(ARGV[1]), cjson.decode(ARGV[2]).windows
local id = id_of(KEYS[1])
local hold = redis.call('HMGET', KEYS[1], 'st', 'left', 'e', 'g', 'x', 'p')
local state = hold[1]

if not state then
  -- A tombstone: a reserve that was delayed on its way must not come alive after its release.
  redis.call('HSET', KEYS[1], 'st', 'closed', 'left', '0')
  redis.call('PEXPIRE', KEYS[1], CLOSED_MS)
  return {'none'}
end

local accounts = load_all(4, run, windows)
if state == 'open' then
  if hold[3] == run then unhold(accounts, split(hold[4]), hold[2]) end
  close(KEYS[1], KEYS[2], id)
  return {'released', hold[2]}
end

if state == 'expired' and tonumber(hold[5] or 0) > 0 then
  local t = moment(accounts, windows, now)
  if not t then return {'clock', int(now)} end
  local journal_id = refund(KEYS[1], accounts, windows, t, KEYS[3], id .. '~refund', hold[5], id, hold[6])
  return {'refunded', journal_id, int(t), hold[5], hold[6]}
end
return {'closed'}
