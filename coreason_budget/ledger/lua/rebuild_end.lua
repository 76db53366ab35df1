-- Finish a rebuild: correct what the account says it spent by what the database and the journal say, and open it.
--
-- KEYS  1 account
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms, 3 nonce, 4 incarnation, 5 verdicts, 6 version of the limits,
--       7 generation age in ms after which held money moves to the old generation,
--       8 9 10 limit overrides of d, w, m ('u' unlimited, '' none),
--       11.. for d, w, m: window of the snapshot, correction (sum - spent in the snapshot; '' = not wanted),
--       17 default limits, 18 '1' if more was spent in windows after these
-- reply done, drift of d, w, m (correction of a period that was verified before, else '0')   gone (start over)
--       clock, now

local run, now, windows, defaults = run_id(), clock(ARGV[1]), windows_of(ARGV[2]), each_default(ARGV[17])[1]
local key, nonce = KEYS[1], ARGV[3]
local a = load_now(key, run, windows)
if not a.mine or a.inc ~= ARGV[4] then return {'gone'} end
if a.n ~= ARGV[5] then return {a.open and 'done' or 'gone', '0', '0', '0'} end
local t = moment({a}, windows, now)
if not t then return {'clock', int(now)} end
roll(a, windows, t)
for i, p in ipairs(PERIODS) do
  if ARGV[10 + 2 * i] ~= '' and a[p.w] ~= ARGV[9 + 2 * i] then return {'gone'} end
end

local function own_or(own, default)
  if own == 'u' then return nil end
  return own ~= '' and own or default or nil
end

local drift = {'done'}
for i, p in ipairs(PERIODS) do
  local correction = ARGV[10 + 2 * i]
  if correction ~= '' then
    add(key, p.s, correction)
    if a[p.o] ~= '1' then
      -- Thresholds passed before this server knew of the account count as told: after a loss nobody hears of them twice.
      local cap, sum, told = tonumber(own_or(ARGV[7 + i], defaults[p.code]) or 0), (a[p.s] or 0) + correction, 0
      for _, percent in ipairs(thresholds_of(ARGV[2])) do
        if cap > 0 and sum * 100 >= percent * cap then told = percent end
      end
      if told > tonumber(a[p.k] or 0) then redis.call('HSET', key, p.k, told) end
    end
    drift[1 + i] = a[p.o] == '1' and a.open and correction or '0'
    redis.call('HSET', key, p.o, '1')
  else
    if a[p.o] ~= '1' then
      redis.call('HDEL', key, p.w, p.s, p.k, p.f)
      a[p.w] = false
    end
    drift[1 + i] = '0'
  end
end

redis.call('HINCRBY', key, 'n', 1)
redis.call('HSET', key, 'doubt', '0', 'v', int(now), 'vd', table.concat(drift, ',', 2))
redis.call('HDEL', key, 't', 'later')
if ARGV[18] == '1' then redis.call('HSET', key, 'later', '1') end
local born = redis.call('HGET', key, 'gt')
if not a.g then
  redis.call('HSET', key, 'g', nonce, 'gt', int(now), 'h', '0', 'hp', '0')
elseif now - tonumber(born or 0) > tonumber(ARGV[7]) then
  redis.call('HSET', key, 'gp', a.g, 'hp', a.h or '0', 'g', nonce, 'gt', int(now), 'h', '0')
end
if a.lv == ARGV[6] then set_limits(key, 8, now) end
keep(a, windows)
return drift
