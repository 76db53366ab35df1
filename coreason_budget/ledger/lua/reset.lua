-- Count less of what one account has spent in one window that runs now, once per id. The money stays spent: nothing is given
-- back, no other account and no other period hears of it, and the record that this makes costs nothing.
--
-- KEYS  1 adjustment, 2 journal, 3 account
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms, 3 default limits, 4 period: d, w or m, 5 the window that is meant,
--       6 amount that counts no more, 7 what must stay counted at least, 8 nonce of this call, 9 payload for the journal
-- reply ok, '1' if this call booked it (and not an earlier one with its id), minus the amount, answer (as charge.lua gives it)
--       missing, 1   unknown (no limit of the account is known in that period)   window, the one that runs
--       short, spent   clock, now

local run, now, windows, defaults = run_id(), clock(ARGV[1]), windows_of(ARGV[2]), each_default(ARGV[3])
local _, _, _, memory = settings_of(ARGV[2])
local id, who, code, amount, nonce = id_of(KEYS[1]), accounts_from(3), ARGV[4], ARGV[6], ARGV[8]

local its_nonce, its_cost, _, answer = recall(KEYS[1])
if its_nonce then return {'ok', its_nonce == nonce and '1' or '0', its_cost, answer} end

redis.call('XLEN', KEYS[2]) -- what is no stream must fail before anything is written
local accounts = load_all(3, run, windows)
local a = accounts[1]
local t = moment(accounts, windows, now)
if not t then return {'clock', int(now)} end
if not ready(a, defaults[1]) then return {'missing', '1'} end

local p
for _, each in ipairs(a.periods) do
  if each.code == code and a[each.o] == '1' then p = each end
end
if not p then return {'unknown'} end
local window, sum = spent(a, p, windows, t)
if window ~= ARGV[5] then return {'window', window} end
if not (tonumber(amount) > 0 and sum - amount >= tonumber(ARGV[7])) then return {'short', sum} end

enter(accounts, windows, t)
local _, left = spend(a, p, minus(amount))

-- What is below the line again is told again, and so is the first call that is refused.
local cap, told = tonumber(limit(a, p, defaults[1]) or 0), 0
for _, percent in ipairs(thresholds_of(ARGV[2])) do
  if cap > 0 and left * 100 >= percent * cap then told = percent end
end
if told < tonumber(a[p.k] or 0) then redis.call('HSET', a.key, p.k, int(told)) end
redis.call('HDEL', a.key, p.f)

local journal_id = journal(KEYS[2], id, '0', 'adjustment', t, '', ARGV[9])
answer = table.concat({journal_id, int(t), '0', '', '0', '0', (show(a, windows, t, defaults[1]))}, '|')
remember(KEYS[1], nonce, minus(amount), who, answer, memory)
return {'ok', '1', minus(amount), answer}
