-- Show the accounts of a subject. Writes nothing.
--
-- KEYS  1.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 terms, 3 default limits
-- reply ok, now, account ... (see show)   missing, index ...   stale, index, version ...   clock, now

local run, now, windows, defaults = run_id(), clock(ARGV[1]), windows_of(ARGV[2]), each_default(ARGV[3])
local fresh = settings_of(ARGV[2])
local accounts = load_all(1, run, windows)
local t = moment(accounts, windows, now)
if not t then return {'clock', int(now)} end

local missing, stale, reply = {'missing'}, {'stale'}, {'ok', int(t)}
for i, a in ipairs(accounts) do
  if not ready(a, defaults[i]) then
    missing[#missing + 1] = int(i)
  elseif not a.la or math.abs(now - a.la) > fresh then
    stale[#stale + 1] = int(i)
    stale[#stale + 1] = a.lv or ''
  end
  reply[#reply + 1] = show(a, windows, t, defaults[i])
end
if #missing > 1 then return missing end
if #stale > 1 then return stale end
return reply
