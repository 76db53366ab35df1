-- Hold an amount on all accounts of a call, or top up its hold by it, or say why not. Where all of it has no room, what has
-- room is held if that is at least what the caller can use. A refusal writes nothing but its first-of-the-window mark.
--
-- KEYS  1 hold, 2 deadlines, 3 journal, 4.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms, 3 default limits, 4 amount, 5 ttl in ms ('0' = check only, hold
--       nothing), 6 payload for the journal, 7 least amount that serves ('' = all of it), 8 nonce of a top-up ('' = a new hold)
-- reply ok, now, deadline, amount held by this call, index of each account whose limits want a refresh, its version ...
--       exceeded, now, index, period, window, spent, held, limit, first
--       missing, index ...   stale, index, version ...   gone, state   conflict   backlog, length   clock, now
--       overflow, index

local run, now, windows, defaults = run_id(), clock(ARGV[1]), windows_of(ARGV[2]), each_default(ARGV[3])
local fresh, policy, longest = settings_of(ARGV[2])
local id, amount, ttl, who = id_of(KEYS[1]), ARGV[4], tonumber(ARGV[5]), accounts_from(4)
local asked, least, nonce = amount, tonumber(ARGV[7]), ARGV[8]

local left, generations = '0', {}
if ttl > 0 then
  local hold = redis.call('HMGET', KEYS[1], 'st', 'amt', 'acc', 'e', 'dl', 'got')
  local is_open = hold[1] == 'open' and hold[4] == run
  if nonce ~= '' then
    if not is_open then return {'gone', hold[1] or ''} end
    if hold[3] ~= who then return {'conflict'} end
    local topped = redis.call('HMGET', KEYS[1], 'n' .. nonce, 'left', 'g')
    if topped[1] then return {'ok', int(now), hold[5], topped[1]} end
    left, generations = topped[2], split(topped[3])
  elseif hold[1] then
    if hold[2] and (hold[2] ~= amount or hold[3] ~= who) then return {'conflict'} end
    if is_open then return {'ok', int(now), hold[5], hold[6]} end
    return {'gone', hold[1]}
  end
end

local accounts = load_all(4, run, windows)
local t = moment(accounts, windows, now)
if not t then return {'clock', int(now)} end

local missing, stale, refresh = {'missing'}, {'stale'}, {}
for i, a in ipairs(accounts) do
  if not ready(a, defaults[i]) then
    missing[#missing + 1] = int(i)
  else
    local age = a.la and math.abs(now - a.la)
    if not age or age > fresh then
      stale[#stale + 1] = int(i)
      stale[#stale + 1] = a.lv or ''
    elseif age > fresh / 2 and not (a.lr and math.abs(now - a.lr) < fresh / 4) then
      refresh[#refresh + 1] = i
    end
  end
end
if #missing > 1 then return missing end
if #stale > 1 then return stale end

local backlog = redis.call('XLEN', KEYS[3])
if backlog > longest then return {'backlog', int(backlog)} end

-- Among several limits without room the one that resets last is told, a blocked one (limit 0) before all.
local worst
for i, a in ipairs(accounts) do
  local held = (a.h or 0) + (a.hp or 0)
  if is_forgotten(a, generations[i]) then held = held + left end -- a top-up counts it again
  a.held = held
  if held + amount > INT64_SAFE then return {'overflow', int(i)} end
  for k = 1, 3 do
    local p = PERIODS[k]
    local cap = limit(a, p, defaults[i])
    if cap then
      local window, sum = spent(a, p, windows, t)
      local fits = sum + held + amount <= tonumber(cap)
      if tonumber(amount) == 0 then fits = sum + held < tonumber(cap) end
      if tonumber(cap) == 0 then fits = false end -- blocked, even if refunds came to more than was spent
      if not fits then
        local ends = windows[p.code]
        local reset = tonumber(cap) == 0 and math.huge or ends[index(ends, t) + 4]
        if not worst or reset > worst.reset then
          worst = {reset = reset, i = i, p = p, window = window, sum = sum, held = int(held), cap = cap}
        end
      end
    end
  end
end
if worst and least then
  local room = math.huge
  for i, a in ipairs(accounts) do
    for _, p in ipairs(PERIODS) do
      local cap = limit(a, p, defaults[i])
      if cap then
        local _, sum = spent(a, p, windows, t)
        room = math.min(room, tonumber(cap) == 0 and 0 or cap - sum - a.held)
      end
    end
  end
  if room > 0 and room >= least then amount, worst = int(room), nil end
end
if worst then
  local a, p = accounts[worst.i], worst.p
  local mark, told, first = worst.window .. '|' .. id .. nonce, a[p.f], '0'
  if not told or string.sub(told, 1, #worst.window) ~= worst.window then
    redis.call('HSET', a.key, p.f, mark)
    first = '1'
  elseif told == mark then
    first = '1'
  end
  return {'exceeded', int(t), int(worst.i), p.code, worst.window, worst.sum, worst.held, worst.cap, first}
end

local reply = {'ok', int(now), int(now + ttl), amount}
for _, i in ipairs(refresh) do
  redis.call('HSET', accounts[i].key, 'lr', int(now))
  reply[#reply + 1] = int(i)
  reply[#reply + 1] = accounts[i].lv or ''
end
if ttl == 0 then return reply end

redis.call('ZADD', KEYS[2], int(now + ttl), id) -- first: a key of another type stops the script here, before the rest
renew(accounts, generations, left)
for _, a in ipairs(accounts) do
  roll(a, windows, t) -- so that an account lives as long as what it holds
  add(a.key, 'h', amount)
end
local ends, held_in = int(now + ttl), table.concat(generations, ',')
if nonce ~= '' then
  add(KEYS[1], 'left', amount)
  redis.call('HSET', KEYS[1], 'n' .. nonce, amount, 'dl', ends, 'g', held_in)
else
  redis.call('HSET', KEYS[1], 'st', 'open', 'amt', asked, 'got', amount, 'left', amount, 'dl', ends, 'e', run,
    'at', int(now), 'pol', policy, 'acc', who, 'g', held_in, 'p', ARGV[6])
end
redis.call('PEXPIRE', KEYS[1], int(ttl + KEPT_MS))
return reply
