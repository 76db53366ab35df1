-- Move the deadline of an open hold, and bring it to the current generation of its accounts.
--
-- KEYS  1 hold, 2 deadlines, 3.. accounts
-- ARGV  1 now in ms ('' = the server's TIME), 2 ttl in ms
-- reply ok, deadline   gone, state ('' = unknown)

local run, now = run_id(), clock(ARGV[1])
local hold = redis.call('HMGET', KEYS[1], 'st', 'left', 'e', 'g')
if hold[1] ~= 'open' or hold[3] ~= run then return {'gone', hold[1] or ''} end

local accounts, deadline = load_all(3, run), int(now + tonumber(ARGV[2]))
redis.call('ZADD', KEYS[2], deadline, id_of(KEYS[1])) -- first: a key of another type stops the script here
local generations = split(hold[4])
renew(accounts, generations, hold[2])

redis.call('HSET', KEYS[1], 'dl', deadline, 'g', table.concat(generations, ','))
redis.call('PEXPIRE', KEYS[1], int(tonumber(ARGV[2]) + KEPT_MS))
return {'ok', deadline}
