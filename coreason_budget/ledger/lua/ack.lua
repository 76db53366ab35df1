-- Take entries out of the journal that the database has, and put accounts in doubt whose counters may be wrong.
--
-- KEYS  1 journal, 2.. accounts
-- ARGV  four per entry: journal id, charge id, how it went, accounts (indexes among KEYS 'i,j').
--       How: new (the row was inserted now), same (it was there under this journal id), other (it was there under another
--       journal id: the charge was booked twice here, or was written while the server did not answer),
--       doubt (no entry at all, only doubt the accounts)
-- reply acked, entries removed, accounts doubted

local removed, doubted = 0, 0
for i = 1, #ARGV, 4 do
  local id, charge, how = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local found = false
  if how ~= 'doubt' then
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    if entry then
      local fields = entry[2]
      for j = 1, #fields, 2 do
        if fields[j] == 'c' and fields[j + 1] == charge then found = true end
      end
    end
  end
  if found then removed = removed + redis.call('XDEL', KEYS[1], id) end
  if how == 'doubt' or how == 'other' or (how == 'new' and not found) then
    for _, k in ipairs(split(ARGV[i + 3])) do
      doubt(KEYS[tonumber(k)])
      doubted = doubted + 1
    end
  end
end
return {'acked', int(removed), int(doubted)}
