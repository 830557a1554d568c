/** The calls of the StateStore as Lua scripts: each is one atomic step of the server, which also tells the time. */

export const GET = `
local found = redis.call('HMGET', KEYS[1], 'version', 'value')
if not found[1] then return false end
return found`;

export const COMPARE_AND_SET = `
local present = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if present ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', present + 1, 'value', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return present + 1`;

export const INCREMENT = `
local sum = redis.call('INCRBYFLOAT', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return sum`;

/** The arithmetic of token-bucket.ts. Numbers go back as text, since Redis cuts them to whole ones. */
export const TAKE_TOKENS = `
local cost, rate, burst, force = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local known = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = burst
if known[1] then level = math.min(burst, tonumber(known[1]) + math.max(0, now - tonumber(known[2])) / 1000 * rate) end
local granted, wait = 0, 0
if force or cost <= level + 1e-9 then
  granted = 1
  level = math.min(burst, level - cost)
elseif cost > burst or rate <= 0 then
  wait = -1
else
  wait = math.ceil((cost - level) / rate * 1000)
end
redis.call('HSET', KEYS[1], 'level', string.format('%.17g', level), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.max(1000, math.ceil(rate > 0 and (burst - level) / rate * 1000 or 86400000)))
return {granted, string.format('%.17g', wait), string.format('%.17g', level)}`;

export const ACQUIRE_LEASE = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;

export const RENEW_LEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`;

export const RELEASE_LEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`;
