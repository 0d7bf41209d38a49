package cache

// The scripts take the ping's key and the lock's key. Each runs as one step in Redis, so that between two replicas there
// is no moment in which both could believe to be the only writer.

// claimScript: token, milliseconds the lock lives.
const claimScript = `
local cached = redis.call('GET', KEYS[1])
if cached then return {'cached', cached} end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {'won', ''} end
return {'busy', ''}`

// fillScript: token, ping, milliseconds the ping lives.
const fillScript = `
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return {'done', ''}`

// releaseScript: token.
const releaseScript = `
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return {'done', ''}`
