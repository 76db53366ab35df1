-- Begin to rebuild an account: give it an incarnation if it has none of this run, and take a snapshot at a point L of
-- the journal. What is booked after L is already counted by the account itself.
--
-- KEYS  1 account, 2 journal
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms, 3 nonce, 4 floor: highest journal id in the database 'ms-seq' or '',
--       5 mode: open | force (do not wait for another) | verify, 6 verify again after ms, 7 default limits
-- reply go, L, now, incarnation, verdicts, version of the limits, then window, spent, verified for d, w, m
--       done (open already)   wait (another began just now)   fresh (verified lately)   clock, now

local run, now, windows = run_id(), clock(ARGV[1]), windows_of(ARGV[2])
local key, nonce, mode = KEYS[1], ARGV[3], ARGV[5]
local a = load_now(key, run, windows)
local t = moment({a}, windows, now)
if not t then return {'clock', int(now)} end

local times = redis.call('HMGET', key, 't', 'v')
if mode == 'verify' then
  if a.open and times[2] and math.abs(now - times[2]) < tonumber(ARGV[6]) then return {'fresh'} end
elseif ready(a, each_default(ARGV[7])[1]) then
  return {'done'}
elseif mode == 'open' and a.mine and times[1] and math.abs(now - times[1]) < 500 then
  return {'wait'}
end

local L = redis.call('XADD', KEYS[2], '*', 'mark', '1')
redis.call('XDEL', KEYS[2], L)
if ARGV[4] ~= '' then
  local ms, seq = string.match(L, '(%d+)-(%d+)')
  local floor_ms, floor_seq = string.match(ARGV[4], '(%d+)-(%d+)')
  ms, seq, floor_ms, floor_seq = tonumber(ms), tonumber(seq), tonumber(floor_ms), tonumber(floor_seq)
  if ms < floor_ms or (ms == floor_ms and seq <= floor_seq) then
    L = redis.call('XADD', KEYS[2], int(floor_ms) .. '-' .. int(floor_seq + 1), 'mark', '1')
    redis.call('XDEL', KEYS[2], L)
  end
end

if not a.mine then
  redis.call('DEL', key)
  local incarnation = nonce .. '@' .. L -- a begin that is executed again must not be taken for the first
  redis.call('HSET', key, 'e', run, 'inc', incarnation, 'n', '0', 'lv', incarnation)
  a = load(key, run)
end
redis.call('HSET', key, 't', int(now))
for _, p in ipairs(PERIODS) do
  if not a[p.w] then
    local window = windows[p.code]
    local id = window[index(window, t)]
    redis.call('HSET', key, p.w, id, p.s, '0')
    a[p.w], a[p.s] = id, '0'
  end
end
roll(a, windows, t)
keep(a, windows)

local reply = {'go', L, int(now), a.inc, a.n, a.lv or ''}
for _, p in ipairs(PERIODS) do
  reply[#reply + 1] = a[p.w]
  reply[#reply + 1] = a[p.s] or '0'
  reply[#reply + 1] = a[p.o] or '0'
end
return reply
