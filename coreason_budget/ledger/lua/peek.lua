-- Show accounts as they are, each by itself, open or not. Writes nothing and wants nothing done.
--
-- KEYS  1.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms, 3 default limits
-- reply ok, now, then for each account '1' if its limits are fresh, account (see show)   clock, now

local run, now, windows, defaults = run_id(), clock(ARGV[1]), windows_of(ARGV[2]), each_default(ARGV[3])
local reply = {'ok', int(now)}
for i, key in ipairs(KEYS) do
  local a = load_now(key, run, windows)
  if not a.mine then a = {periods = {}} end -- what another run of the server knew counts no more
  local t = moment({a}, windows, now)
  if not t then return {'clock', int(now)} end
  reply[#reply + 1] = a.la and math.abs(now - a.la) <= settings_of(ARGV[2]) and '1' or '0'
  reply[#reply + 1] = show(a, windows, t, defaults[i])
end
return reply
