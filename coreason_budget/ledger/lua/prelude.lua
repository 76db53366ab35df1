-- Shared by all scripts; what a script uses of it is prepended to it, block by block (blank lines part them, and a block uses
-- only those before it): each function and table that is made costs every call. Sets no globals and writes nothing by itself.
-- What a script returns is sent as one text, a line for each part, so no part has a line break.
--
-- An account is a hash: e server run it belongs to, inc incarnation, n verdicts so far, doubt, t last rebuild begun,
-- v last verified, vd what that corrected (d,w,m), later that more was spent in windows after these, g gt generation and its
-- birth, h held, gp hp the generation before, lv la lr version, age and refresh mark of the limits; per period (d, w, m):
-- w window, s spent, o verified, k highest threshold told, f first refusal told, l limit override ('u' unlimited, nano-USD,
-- absent = the default).
--
-- The terms that scripts are told are one text, 'fresh policy cap memory thresholds', then for each of d, w, m '|d before now
-- after start start start end': how long limits are fresh in ms; policy of expired holds; cap of the journal; memory of charge
-- ids in ms; thresholds in percent '50+80'; the windows before, at and after the caller's now and instants in ms. Each is
-- read when it is needed: to decode JSON took as long as INFO. Default limits come as 'day,week,month' for each account,
-- joined by '|'. Amounts are nano-USD as strings; they are added by HINCRBY (exact) and compared as doubles (exact below 2^53).

local PERIODS = {
  {code = 'd', w = 'wd', s = 'sd', o = 'od', k = 'kd', f = 'fd', l = 'ld'},
  {code = 'w', w = 'ww', s = 'sw', o = 'ow', k = 'kw', f = 'fw', l = 'lw'},
  {code = 'm', w = 'wm', s = 'sm', o = 'om', k = 'km', f = 'fm', l = 'lm'},
}

local CLOSED_MS = 300000
local KEPT_MS = 86400000
local INT64_SAFE = 9.2e18
local EXACT = 9007199254740992

-- The server's run id; it changes with every start and failover. A server without INFO (a fake) has one run.
local function run_id()
  local info = redis.pcall('INFO', 'server')
  if type(info) == 'table' then
    if info.err and string.find(tostring(info.err), 'nknown') then return 'none' end
    error(tostring(info.err or 'INFO server gave no text'))
  end
  local _, colon = string.find(info, 'run_id:', 1, true)
  if not colon then error('INFO server shows no run_id') end
  return string.sub(info, colon + 1, colon + 40)
end

local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function int(number) return string.format('%d', number) end

local function minus(amount)
  if string.sub(amount, 1, 1) == '-' then return string.sub(amount, 2) end
  return '-' .. amount
end

-- The windows of the terms by period: before, now, after, start, start, start, end.
local function windows_of(terms)
  local function read(known, code)
    local _, at = string.find(terms, '|' .. code .. ' ', 1, true)
    local before, today, after, a, b, c, d = string.match(terms, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%-?%d+)', at + 1)
    local window = {before, today, after, a + 0, b + 0, c + 0, d + 0}
    known[code] = window
    return window
  end
  return setmetatable({}, {__index = read})
end

local function settings_of(terms)
  local fresh, policy, cap, memory, bottom = string.match(terms, '^(%d+) (%l+) (%d+) (%d+) (%d*)')
  return tonumber(fresh), policy, tonumber(cap), memory, tonumber(bottom)
end

local function thresholds_of(terms)
  local all = {}
  for percent in string.gmatch(string.match(terms, '^%S+ %S+ %S+ %S+ ([^|]*)'), '%d+') do all[#all + 1] = tonumber(percent) end
  return all
end

-- Zero is skipped: HINCRBY refuses '-0', half-way through a script.
local function add(key, field, amount)
  if tonumber(amount) ~= 0 then redis.call('HINCRBY', key, field, amount) end
end

-- Put the fields of a hash into a table, by name.
local function read_into(named, key)
  local flat = redis.call('HGETALL', key)
  if flat.map then
    for name, value in pairs(flat.map) do named[name] = value end
  else
    for i = 1, #flat, 2 do named[flat[i]] = flat[i + 1] end
  end
  return named
end

-- The fields of an account (false or nil if absent), with what follows from them: mine (of this run), open, and the periods
-- that are tracked. The table is made with room for all: to let it grow took as long as to read a third of the fields.
local function load(key, run)
  local a = {
    key = false, mine = false, open = false, periods = false, e = false, n = false, doubt = false, g = false, h = false, hp = false,
    la = false, lr = false, lv = false, wd = false, sd = false, od = false, kd = false, ld = false,
  }
  read_into(a, key)
  a.key = key
  a.mine = a.e == run
  a.open = a.mine and a.g and a.doubt ~= '1'
  local periods = {}
  for i = 1, 3 do
    if a[PERIODS[i].w] then periods[#periods + 1] = PERIODS[i] end
  end
  a.periods = periods
  return a
end

-- An account in a window after all that are known was led there by a clock that was wrong: it is rebuilt. It is in doubt
-- once something was booked that it does not count, and gives back what it holds, for it may be known again one day.
local function is_ahead(a, windows)
  for _, p in ipairs(a.periods) do
    if a[p.w] > windows[p.code][3] then return true end
  end
  return false
end

local function load_now(key, run, windows)
  local a = load(key, run)
  if a.mine and windows and is_ahead(a, windows) then a.mine, a.open, a.ahead = false, false, true end
  return a
end

local function load_all(first, run, windows)
  local accounts = {}
  for i = first, #KEYS do accounts[#accounts + 1] = load_now(KEYS[i], run, windows) end
  return accounts
end

local function index(window, t)
  if t < window[5] then return 1 end
  if t < window[6] then return 2 end
  return 3
end

-- Whether an account enters another window at t.
local function enters(a, windows, t)
  for _, p in ipairs(a.periods) do
    if a[p.w] < windows[p.code][index(windows[p.code], t)] then return true end
  end
  return false
end

-- The instant that counts: now, but never before a window that an account has already entered. An account that has spent
-- in a later one, by a clock that was ahead, cannot be decided on in it before it is summed anew.
-- nil if now is outside of the windows that the caller knows; it asks again with better ones.
local function moment(accounts, windows, now)
  local t = now
  local days = windows.d -- weeks and months reach further
  if now < days[4] or now >= days[7] then return nil end
  for _, a in ipairs(accounts) do
    for _, p in ipairs(a.mine and a.periods or {}) do
      local entered, window = a[p.w], windows[p.code]
      if entered == window[2] then
        if t < window[5] then t = window[5] end
      elseif entered == window[3] and t < window[6] then
        t = window[6]
      end
    end
  end
  for _, a in ipairs(accounts) do
    if a.later and enters(a, windows, t) then a.open = false end
  end
  return t
end

-- The window of an account at t, and what it has spent in it.
local function spent(a, p, windows, t)
  local window = windows[p.code]
  local id = window[index(window, t)]
  local entered = a[p.w]
  if not entered or entered < id then return id, '0' end
  return entered, a[p.s] or '0'
end

-- The default limits of each account, by period.
local function each_default(text)
  local all = {}
  for d, w, m in string.gmatch(text, '([^,|]*),([^,|]*),([^,|]*)') do
    all[#all + 1] = {d = d ~= '' and d, w = w ~= '' and w, m = m ~= '' and m}
  end
  return all
end

-- The id that a key of a hold or charge ends with, after '{prefix}:r:'; and the accounts of a call as one text.
local function id_of(key)
  local _, brace = string.find(key, '}', 1, true)
  return string.sub(key, brace + 4)
end

local function accounts_from(first) return table.concat(KEYS, ' ', first) end

local function limit(a, p, defaults)
  local own = a[p.l]
  if own == 'u' then return nil end
  return own or defaults[p.code]
end

-- Put the limit overrides of d, w, m in, as ARGV has them from an index on ('u' unlimited, '' none), fresh as of now.
local function set_limits(key, first, now)
  for i, p in ipairs(PERIODS) do
    local own = ARGV[first - 1 + i]
    if own == '' then
      redis.call('HDEL', key, p.l)
    else
      redis.call('HSET', key, p.l, own)
    end
  end
  redis.call('HSET', key, 'la', int(now))
end

-- Whether an account can be decided on: it is open, and every period with a default or an override was summed from the
-- database.
local function ready(a, defaults)
  if not a.open then return false end
  for i = 1, 3 do
    local p = PERIODS[i]
    if (defaults[p.code] or a[p.l]) and a[p.o] ~= '1' then return false end
  end
  return true
end

-- An account without any limit has no window; it lives as long as one with a daily limit.
local function keep(a, windows)
  local last = windows.d[7]
  for _, p in ipairs(PERIODS) do
    if a[p.w] and windows[p.code][7] > last then last = windows[p.code][7] end
  end
  redis.call('PEXPIREAT', a.key, int(last + 2 * KEPT_MS))
end

local function doubt(key)
  if redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, 'doubt', '1')
    return int(redis.call('HINCRBY', key, 'n', 1))
  end
end

-- Enter the windows of t; windows only move forward. A tracked period is one that has a window.
local function roll(a, windows, t)
  local moved = false
  for _, p in ipairs(a.periods) do
    local window = windows[p.code]
    local id = window[index(window, t)]
    if a[p.w] < id then
      redis.call('HSET', a.key, p.w, id, p.s, '0', p.k, '0')
      a[p.w], a[p.s], a[p.k], moved = id, '0', '0', true
    end
  end
  if moved and a.later then
    redis.call('HDEL', a.key, 'later')
    a.n, a.open, a.later = doubt(a.key), false, nil
  end
  if moved then keep(a, windows) end
end

-- Add to what an account has spent in a period; return it before and after.
local function spend(a, p, amount)
  local before = a[p.s] or '0'
  add(a.key, p.s, amount)
  local after = before + amount
  a[p.s] = math.abs(after) < EXACT and int(after) or redis.call('HGET', a.key, p.s)
  return before, after
end

-- Make accounts ready to count what is booked at t; those that cannot are in doubt.
local function enter(accounts, windows, t)
  for _, a in ipairs(accounts) do
    if a.mine then
      roll(a, windows, t)
    elseif a.ahead then
      doubt(a.key)
    end
  end
end

local function book(accounts, windows, t, amount)
  enter(accounts, windows, t)
  for _, a in ipairs(accounts) do
    for _, p in ipairs(a.mine and a.periods or {}) do spend(a, p, amount) end
  end
end

local function split(text)
  local parts = {}
  for part in string.gmatch(text, '[^,]+') do parts[#parts + 1] = part end
  return parts
end

-- Take an amount out of what the accounts of a hold have held, each in the generation that the hold was made in.
local function unhold(accounts, generations, amount)
  for i, a in ipairs(accounts) do
    if (a.mine or a.ahead) and a.g then
      if a.g == generations[i] then
        add(a.key, 'h', minus(amount))
        a.freed = amount
      elseif a.gp == generations[i] then
        add(a.key, 'hp', minus(amount))
        a.freed = amount
      end
    end
  end
end

-- Whether an account knows nothing any more of what a hold of this generation has held on it.
local function is_forgotten(a, generation)
  return generation and a.g ~= generation and a.gp ~= generation
end

-- Bring what is left of a hold to the current generation of its accounts.
local function renew(accounts, generations, left)
  for i, a in ipairs(accounts) do
    if a.mine and a.g and a.g ~= generations[i] then
      if a.gp == generations[i] then add(a.key, 'hp', minus(left)) end
      add(a.key, 'h', left)
      generations[i] = a.g
    end
  end
end

local function journal(key, charge, cost, kind, t, hold, payload)
  return redis.call('XADD', key, '*', 'c', charge, 'n', cost, 'k', kind, 't', int(t), 'h', hold, 'p', payload)
end

-- What a charge id was booked with: nonce of the call, cost, accounts and answer, a line each. Nothing if it is not known.
local function recall(key)
  local known = redis.call('GET', key)
  if known then return string.match(known, '^([^\n]*)\n([^\n]*)\n([^\n]*)\n(.*)$') end
end

local function remember(key, nonce, cost, who, answer, ms)
  redis.call('SET', key, nonce .. '\n' .. cost .. '\n' .. who .. '\n' .. answer, 'PX', ms)
end

-- The index of an account that cannot count a cost, nil if all can.
local function overflowing(accounts, cost)
  for i, a in ipairs(accounts) do
    for _, p in ipairs(a.periods) do
      if math.abs((a[p.s] or 0) + cost) > INT64_SAFE then return i end
    end
  end
end

local function close(hold, deadlines, id)
  redis.call('HSET', hold, 'st', 'closed', 'left', '0')
  redis.call('PEXPIRE', hold, CLOSED_MS)
  redis.call('ZREM', deadlines, id)
end

-- Take back what was booked: spent falls, and a refund goes to the journal. With an expired hold (nil if there is none) as
-- much less can be taken back of what that was booked with.
local function refund(hold, accounts, windows, t, journal_key, charge, amount, id, payload)
  if hold then add(hold, 'x', minus(amount)) end
  book(accounts, windows, t, minus(amount))
  return journal(journal_key, charge, minus(amount), 'refund', t, id, payload)
end

-- What an account shows: open, held (two generations), freed by this call; per period window, spent, limit, told, summed;
-- and whether that is all there is to it: it is open, all of it was summed from the database, and no threshold is told.
local function show(a, windows, t, defaults, told)
  local text = (a.open and '1 ' or '0 ') .. (a.h or '0') .. ' ' .. (a.hp or '0') .. ' ' .. (a.freed or '0')
  local plain = a.open and not told
  for i = 1, 3 do
    local p = PERIODS[i]
    local cap = limit(a, p, defaults)
    if cap or a[p.l] then
      local id, sum = spent(a, p, windows, t)
      plain = plain and a[p.o] == '1'
      text = text .. ' ' .. p.code .. ':' .. id .. ':' .. sum .. ':' .. (cap or 'u') .. ':' .. (told and told[p.code] or '')
        .. ':' .. (a[p.o] or '0')
    end
  end
  return text, plain
end
