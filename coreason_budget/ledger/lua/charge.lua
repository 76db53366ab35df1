-- Book a real cost on all accounts of a call, once per charge id, and give back that much of its hold.
--
-- KEYS  1 charge, 2 hold, 3 deadlines, 4 journal, 5.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms, 3 default limits, 4 cost, 5 '1' if the hold ends with it,
--       6 nonce of this call, 7 payload for the journal, 8 kind
-- reply ok, '1' if this call booked it (and not an earlier one with the same id), answer
--       conflict   clock, now   overflow, index
-- answer: journal id|time|left on the hold|journal id of the refund|refunded|account|account ... (see show)

local run, now, windows, defaults = run_id(), clock(ARGV[1]), windows_of(ARGV[2]), each_default(ARGV[3])
local thresholds, _, _, _, memory = thresholds_of(ARGV[2]), settings_of(ARGV[2])
local charge, id, who = id_of(KEYS[1]), id_of(KEYS[2]), accounts_from(5)
local cost, final, nonce, payload = ARGV[4], ARGV[5] == '1', ARGV[6], ARGV[7]

local its_nonce, its_cost, its_accounts, answer = recall(KEYS[1])
if its_nonce then
  if its_cost ~= cost or its_accounts ~= who then return {'conflict'} end
  return {'ok', its_nonce == nonce and '1' or '0', answer}
end

redis.call('XLEN', KEYS[4]) -- what is no stream must fail before anything is written
local accounts = load_all(5, run, windows)
local t = moment(accounts, windows, now)
if not t then return {'clock', int(now)} end
local full = overflowing(accounts, cost)
if full then return {'overflow', int(full)} end

local hold = id ~= '' and redis.call('HMGET', KEYS[2], 'st', 'left', 'e', 'g', 'x') or {}
local state = hold[1]
if state == 'open' and hold[3] ~= run then state = nil end

if state == 'open' and final then redis.call('ZCARD', KEYS[3]) end -- as the journal above
enter(accounts, windows, t)

local left = '0'
if state == 'open' then
  local freed = hold[2]
  if not final and tonumber(cost) < tonumber(freed) then freed = cost end
  unhold(accounts, split(hold[4]), freed)
  if final then
    close(KEYS[2], KEYS[3], id)
  else
    add(KEYS[2], 'left', minus(freed))
    left = redis.call('HGET', KEYS[2], 'left')
  end
end

local reversed, refund_id = '0', ''
if state == 'expired' and tonumber(hold[5] or 0) > 0 then
  reversed = hold[5]
  if not final and tonumber(cost) < tonumber(reversed) then reversed = cost end
  if tonumber(reversed) > 0 then
    refund_id = refund(KEYS[2], accounts, windows, t, KEYS[4], charge .. '~refund', reversed, id, payload)
  end
end

local bottom, top = thresholds[1] or 0, thresholds[#thresholds] or 0
local shown = {}
for i, a in ipairs(accounts) do
  local told
  if a.mine then
    for _, p in ipairs(PERIODS) do
      if a[p.w] then
        local _, after = spend(a, p, cost)
        local cap = a.open and a[p.o] == '1' and tonumber(limit(a, p, defaults[i]) or 0) or 0
        if cap > 0 and after * 100 >= cap * bottom and top > tonumber(a[p.k] or 0) then
          local crossed = {}
          for _, percent in ipairs(thresholds) do
            local line = percent * cap
            if after * 100 >= line and percent > tonumber(a[p.k] or 0) then
              crossed[#crossed + 1] = percent
            end
          end
          if #crossed > 0 then
            redis.call('HSET', a.key, p.k, crossed[#crossed])
            told = told or {}
            told[p.code] = table.concat(crossed, '+')
          end
        end
      end
    end
  end
  shown[i] = show(a, windows, t, defaults[i], told)
end

local journal_id = journal(KEYS[4], charge, cost, ARGV[8], t, id, payload)
answer = table.concat({journal_id, int(t), left, refund_id, reversed, table.concat(shown, '|')}, '|')
remember(KEYS[1], nonce, cost, who, answer, memory)
return {'ok', '1', answer}
