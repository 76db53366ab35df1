-- Book a real cost on all accounts of a call, once per charge id, and give back that much of its hold.
--
-- KEYS  1 charge, 2 hold, 3 deadlines, 4 journal, 5.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 windows, 3 charge id, 4 cost, 5 hold id ('' = none),
--       6 '1' if the hold ends with it, 7 nonce of this call, 8 accounts as text, 9 payload for the journal,
--       10 how long the id is remembered in ms, 11 thresholds in percent 'a,b,c', 12 kind,
--       13.. default limits of each account
-- reply ok, '1' if this call booked it (and not an earlier one with the same id), answer
--       conflict   clock, now   overflow, index
-- answer: journal id|time|left on the hold|journal id of the refund|refunded|account|account ... (see show)

local run, now, windows = run_id(), clock(ARGV[1]), cjson.decode(ARGV[2])
local charge, cost, id, final, nonce = ARGV[3], ARGV[4], ARGV[5], ARGV[6] == '1', ARGV[7]

local known = redis.call('HMGET', KEYS[1], 'n', 'acc', 'nonce', 'a')
if known[1] then
  if known[1] ~= cost or known[2] ~= ARGV[8] then return {'conflict'} end
  return {'ok', known[3] == nonce and '1' or '0', known[4]}
end

local accounts = load_all(5, run)
local t = moment(accounts, windows, now)
if not t then return {'clock', int(now)} end
for i, a in ipairs(accounts) do
  for _, p in ipairs(PERIODS) do
    if a[p.w] and math.abs((a[p.s] or 0) + cost) > INT64_SAFE then return {'overflow', int(i)} end
  end
end

local hold = id ~= '' and redis.call('HMGET', KEYS[2], 'st', 'left', 'e', 'g', 'x') or {}
local state = hold[1]
if state == 'open' and hold[3] ~= run then state = nil end

for _, a in ipairs(accounts) do
  if a.mine then roll(a, windows, t) end
end

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
    refund_id = refund(KEYS[2], accounts, windows, t, KEYS[4], charge .. '~refund', reversed, id, ARGV[9])
  end
end

local thresholds = split(ARGV[11])
local bottom, top = tonumber(thresholds[1] or 0), tonumber(thresholds[#thresholds] or 0)
local shown = {}
for i, a in ipairs(accounts) do
  local told, defaults = {}, defaults_at(12 + i)
  if a.mine then
    for _, p in ipairs(PERIODS) do
      if a[p.w] then
        local before = a[p.s] or '0'
        add(a.key, p.s, cost)
        local after = before + cost
        a[p.s] = math.abs(after) < EXACT and int(after) or redis.call('HGET', a.key, p.s)
        local cap = a.open and a[p.o] == '1' and tonumber(limit(a, p, defaults) or 0) or 0
        if cap > 0 and before * 100 < cap * top and after * 100 >= cap * bottom then
          local crossed = {}
          for _, percent in ipairs(thresholds) do
            local line = percent * cap
            if before * 100 < line and after * 100 >= line and tonumber(percent) > tonumber(a[p.k] or 0) then
              crossed[#crossed + 1] = percent
            end
          end
          if #crossed > 0 then
            redis.call('HSET', a.key, p.k, crossed[#crossed])
            told[p.code] = table.concat(crossed, '+')
          end
        end
      end
    end
  end
  shown[i] = show(a, windows, t, defaults, told)
end

local journal_id = journal(KEYS[4], charge, cost, ARGV[12], t, id, ARGV[9])
local answer = table.concat({journal_id, int(t), left, refund_id, reversed, table.concat(shown, '|')}, '|')
redis.call('HSET', KEYS[1], 'n', cost, 'acc', ARGV[8], 'nonce', nonce, 'a', answer)
redis.call('PEXPIRE', KEYS[1], ARGV[10])
return {'ok', '1', answer}
