-- Take back what a record was booked with, or a part of it, once per record. Of an expired hold no more than what no late
-- charge or release has taken back, and they will find no more than what this leaves.
--
-- KEYS  1 refund, 2 hold that expired (without an id: the record is a charge), 3 journal, 4.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms, 3 default limits, 4 amount ('' = all that is left), 5 what is left
--       as the database knows it, 6 nonce of this call, 7 payload for the journal
-- reply ok, '1' if this call booked it (and not an earlier one), cost (negative), answer (as charge.lua gives it)
--       short, what is left   clock, now   overflow, index

local run, now, windows, defaults = run_id(), clock(ARGV[1]), windows_of(ARGV[2]), each_default(ARGV[3])
local _, _, _, memory = settings_of(ARGV[2])
local id, hold_id, who = id_of(KEYS[1]), id_of(KEYS[2]), accounts_from(4)
local amount, left, nonce = ARGV[4], ARGV[5], ARGV[6]

local its_nonce, its_cost, _, answer = recall(KEYS[1])
if its_nonce then return {'ok', its_nonce == nonce and '1' or '0', its_cost, answer} end

redis.call('XLEN', KEYS[3]) -- what is no stream must fail before anything is written
local accounts = load_all(4, run, windows)
local t = moment(accounts, windows, now)
if not t then return {'clock', int(now)} end

local hold
if hold_id ~= '' then
  local known = redis.call('HMGET', KEYS[2], 'st', 'x')
  if known[1] == 'expired' then
    hold = KEYS[2]
    if tonumber(known[2] or 0) < tonumber(left) then left = known[2] or '0' end
  end
end
if amount == '' then amount = left end
if not (tonumber(amount) > 0 and tonumber(amount) <= tonumber(left)) then return {'short', left} end

local cost = minus(amount)
local full = overflowing(accounts, cost)
if full then return {'overflow', int(full)} end

local journal_id = refund(hold, accounts, windows, t, KEYS[3], id, amount, hold_id, ARGV[7])
local parts = {journal_id, int(t), '0', '', '0', '0'}
for i, a in ipairs(accounts) do parts[#parts + 1] = show(a, windows, t, defaults[i]) end
answer = table.concat(parts, '|')
remember(KEYS[1], nonce, cost, who, answer, memory)
return {'ok', '1', cost, answer}
