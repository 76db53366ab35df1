-- Book a real cost on all accounts of a call, once per charge id, and give back that much of its hold.
--
-- KEYS  1 charge, 2 hold, 3 deadlines, 4 journal, 5 what was learned of such calls, 6.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms, 3 default limits, 4 cost, 5 '1' if the hold ends with it,
--       6 nonce of this call, 7 payload for the journal, 8 kind, 9 what was observed of the call ('' = nothing):
--       row, column, step in millionths, '1' if all that was learned is wanted and not only what this touches
-- reply ok, '1' if this call booked it (and not an earlier one with the same id), answer, name and value of each field of
--       what was learned, if this call observed something
--       conflict   clock, now   overflow, index
-- answer: journal id|time|left on the hold|journal id of the refund|refunded|plain|account|account ... (see show; '1' if all of
--       them are plain)
--
-- What was learned is a hash: 'level', the sum of all steps within bounds, and rows of counts, 'sum column=count column=count
-- ...': 'all' and one for each row that was observed. A sum above its cap halves the row: what is old fades.

local run, now, windows, defaults = run_id(), clock(ARGV[1]), windows_of(ARGV[2]), each_default(ARGV[3])
local _, _, _, memory, bottom = settings_of(ARGV[2])
local charge, id, who = id_of(KEYS[1]), id_of(KEYS[2]), accounts_from(6)
local cost, final, nonce, payload = ARGV[4], ARGV[5] == '1', ARGV[6], ARGV[7]

local its_nonce, its_cost, its_accounts, answer = recall(KEYS[1])
if its_nonce then
  if its_cost ~= cost or its_accounts ~= who then return {'conflict'} end
  return {'ok', its_nonce == nonce and '1' or '0', answer}
end

redis.call('XLEN', KEYS[4]) -- what is no stream must fail before anything is written
local accounts = load_all(6, run, windows)
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

local shown, plain = {}, '1'
for i, a in ipairs(accounts) do
  local told
  if a.mine then
    for _, p in ipairs(a.periods) do
      local _, after = spend(a, p, cost)
      local cap = a.open and a[p.o] == '1' and tonumber(limit(a, p, defaults[i]) or 0) or 0
      if cap > 0 and bottom and after * 100 >= cap * bottom then
        local crossed = {}
        for _, percent in ipairs(thresholds_of(ARGV[2])) do
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
  local is_plain
  shown[i], is_plain = show(a, windows, t, defaults[i], told)
  if not is_plain then plain = '0' end
end

local journal_id = journal(KEYS[4], charge, cost, ARGV[8], t, id, payload)
answer = table.concat({journal_id, int(t), left, refund_id, reversed, plain, table.concat(shown, '|')}, '|')
remember(KEYS[1], nonce, cost, who, answer, memory)
local reply = {'ok', '1', answer}
if ARGV[9] == '' then return reply end

local LEARNED_MS, LEAST, MOST, OF_ROW, OF_ALL, LONGEST = 1209600000, -6000000, 10000000, 500, 1000, 4096

local function halved(cells)
  local sum, kept = 0, {}
  for column, count in string.gmatch(cells, ' (%d+)=(%d+)') do
    local half = math.floor(count / 2)
    if half > 0 then
      sum = sum + half
      kept[#kept + 1] = ' ' .. column .. '=' .. int(half)
    end
  end
  return int(sum) .. table.concat(kept)
end

local function counted(text, column, cap)
  local anew = '1 ' .. column .. '=1'
  local sum = string.match(text or '', '^(%d+) %d+=%d')
  if not sum or #text > LONGEST then return anew end
  local cell = ' ' .. column .. '='
  local first, last = string.find(text, cell, 1, true)
  local cells
  if first then
    local count = string.match(text, '^%d+', last + 1)
    if not count or #count > 6 then return anew end
    cells = string.sub(text, #sum + 1, last) .. int(count + 1) .. string.sub(text, last + 1 + #count)
  else
    cells = string.sub(text, #sum + 1) .. cell .. '1'
  end
  if tonumber(sum) >= cap then return halved(cells) end
  return int(sum + 1) .. cells
end

-- It is advice, and the cost is booked: whatever is wrong with it, as a key of another type, must not fail the charge.
pcall(function()
  local row, column, step, is_all = string.match(ARGV[9], '^(%d+) (%d+) (%-?%d+) ([01])$')
  local known = redis.call('HMGET', KEYS[5], 'level', 'all', row)
  local level = int(math.max(LEAST, math.min(MOST, (tonumber(known[1] or 0) or 0) + step)))
  local all, own = counted(known[2], column, OF_ALL), counted(known[3], column, OF_ROW)
  redis.call('HSET', KEYS[5], 'level', level, 'all', all, row, own)
  redis.call('PEXPIRE', KEYS[5], LEARNED_MS)
  local learned = is_all == '1' and read_into({}, KEYS[5]) or {level = level, all = all, [row] = own}
  for name, value in pairs(learned) do
    reply[#reply + 1] = name
    reply[#reply + 1] = value
  end
end)
return reply
