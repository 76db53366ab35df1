-- Hold an amount on all accounts of a call, or say why not. A refusal writes nothing but its first-of-the-window mark.
--
-- KEYS  1 hold, 2 deadlines, 3 journal, 4.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms, 3 default limits, 4 amount, 5 ttl in ms ('0' = check only, hold
--       nothing), 6 payload for the journal
-- reply ok, now, deadline, index of each account whose limits want a refresh, its version ...
--       exceeded, now, index, period, window, spent, held, limit, first
--       missing, index ...   stale, index, version ...   gone, state   conflict   backlog, length   clock, now
--       overflow, index

local run, now, terms = run_id(), clock(ARGV[1]), cjson.decode(ARGV[2])
local windows, defaults = terms.windows, each_default(ARGV[3])
local id, amount, ttl, who = id_of(KEYS[1]), ARGV[4], tonumber(ARGV[5]), accounts_from(4)

if ttl > 0 then
  local hold = redis.call('HMGET', KEYS[1], 'st', 'amt', 'acc', 'e', 'dl')
  if hold[1] then
    if hold[2] and (hold[2] ~= amount or hold[3] ~= who) then return {'conflict'} end
    if hold[1] == 'open' and hold[4] == run then return {'ok', int(now), hold[5]} end
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
    if not age or age > terms.fresh then
      stale[#stale + 1] = int(i)
      stale[#stale + 1] = a.lv or ''
    elseif age > terms.fresh / 2 and not (a.lr and math.abs(now - a.lr) < terms.fresh / 4) then
      refresh[#refresh + 1] = i
    end
  end
end
if #missing > 1 then return missing end
if #stale > 1 then return stale end

local backlog = redis.call('XLEN', KEYS[3])
if backlog > terms.cap then return {'backlog', int(backlog)} end

-- Among several limits without room the one that resets last is told, a blocked one (limit 0) before all.
local worst
for i, a in ipairs(accounts) do
  local held = (a.h or 0) + (a.hp or 0)
  if held + amount > INT64_SAFE then return {'overflow', int(i)} end
  for _, p in ipairs(PERIODS) do
    local cap = limit(a, p, defaults[i])
    if cap then
      local window, sum = spent(a, p, windows, t)
      local fits = sum + held + amount <= tonumber(cap)
      if tonumber(amount) == 0 then fits = sum + held < tonumber(cap) end
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
if worst then
  local a, p = accounts[worst.i], worst.p
  local mark, told, first = worst.window .. '|' .. id, a[p.f], '0'
  if not told or string.sub(told, 1, #worst.window) ~= worst.window then
    redis.call('HSET', a.key, p.f, mark)
    first = '1'
  elseif told == mark then
    first = '1'
  end
  return {'exceeded', int(t), int(worst.i), p.code, worst.window, worst.sum, worst.held, worst.cap, first}
end

local reply = {'ok', int(now), int(now + ttl)}
for _, i in ipairs(refresh) do
  redis.call('HSET', accounts[i].key, 'lr', int(now))
  reply[#reply + 1] = int(i)
  reply[#reply + 1] = accounts[i].lv or ''
end
if ttl == 0 then return reply end

redis.call('ZADD', KEYS[2], int(now + ttl), id) -- first: a key of another type stops the script here, before the rest
local generations = {}
for i, a in ipairs(accounts) do
  roll(a, windows, t) -- so that an account lives as long as what it holds
  add(a.key, 'h', amount)
  generations[i] = a.g
end
redis.call('HSET', KEYS[1], 'st', 'open', 'amt', amount, 'left', amount, 'dl', int(now + ttl), 'e', run, 'pol', terms.policy,
  'acc', who, 'g', table.concat(generations, ','), 'p', ARGV[6])
redis.call('PEXPIRE', KEYS[1], int(ttl + KEPT_MS))
return reply
