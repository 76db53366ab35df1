-- Show the accounts of a subject. Writes nothing.
--
-- KEYS  1.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 windows, 3 limits TTL in ms, 4.. default limits of each account
-- reply ok, now, account ... (see show)   missing, index ...   stale, index, version ...   clock, now

local run, now, windows = run_id(), clock(ARGV[1]), cjson.decode(ARGV[2])
local accounts = load_all(1, run)
local t = moment(accounts, windows, now)
if not t then return {'clock', int(now)} end

local missing, stale, reply = {'missing'}, {'stale'}, {'ok', int(t)}
for i, a in ipairs(accounts) do
  local defaults = defaults_at(3 + i)
  if not ready(a, defaults) then
    missing[#missing + 1] = int(i)
  elseif not a.la or math.abs(now - a.la) > tonumber(ARGV[3]) then
    stale[#stale + 1] = int(i)
    stale[#stale + 1] = a.lv or ''
  end
  reply[#reply + 1] = show(a, windows, t, defaults)
end
if #missing > 1 then return missing end
if #stale > 1 then return stale end
return reply
