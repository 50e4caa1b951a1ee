// node-redis in its usual use, over RESP2 and RESP3.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { createClient } from 'redis';
import { PORTS, check } from './checks.mjs';

const { version } = createRequire(import.meta.url)('redis/package.json');

async function connected(RESP, work, path = '') {
  const client = createClient({ url: `redis://localhost:${PORTS[0]}${path}`, RESP });
  client.on('error', () => {});
  await client.connect();
  try {
    await work(client);
  } finally {
    client.destroy();
  }
}

for (const RESP of [2, 3]) {
  const named = (what) => `node-redis ${version} RESP${RESP} ${what}`;
  const run = (what, work, needs, path) =>
    check(named(what), () => connected(RESP, work, path), needs);

  await run('strings', async (c) => {
    await c.del(['j', 'n']);
    assert.equal(await c.set('j', 'grün'), 'OK');
    assert.equal(await c.get('j'), 'grün');
    assert.equal(await c.get('nobody'), null);
    assert.equal(await c.set('j', 'x', { condition: 'NX' }), null);
    assert.deepEqual([await c.incr('n'), await c.incrBy('n', 4), await c.decr('n')], [1, 5, 4]);
    assert.deepEqual(await c.mGet(['j', 'nobody', 'n']), ['grün', null, '4']);
    assert.equal(await c.exists(['j', 'n']), 2);
    assert.equal(await c.getDel('j'), 'grün');
    await assert.rejects(c.set('n', 'x').then(() => c.incr('n')), /not an integer/);
  });
  await run('expiry', async (c) => {
    await c.set('e', 'x', { expiration: { type: 'EX', value: 100 } });
    const left = await c.ttl('e');
    assert.ok(left >= 99 && left <= 100);
    assert.equal(await c.persist('e'), 1);
    assert.equal(await c.ttl('e'), -1);
    assert.equal(await c.expire('e', 5), 1);
  });
  await run('scan', async (c) => {
    await c.mSet(Array.from({ length: 200 }, (_, n) => [`js:${n}`, 'x']));
    const found = new Set();
    for await (const keys of c.scanIterator({ MATCH: 'js:*', COUNT: 20 })) keys.forEach((k) => found.add(k));
    assert.equal(found.size, 200);
    assert.equal(await c.del([...found]), 200);
  });
  await run('a thousand at once', async (c) => {
    const asked = Array.from({ length: 1000 }, (_, n) => c.set(`many:${n}`, String(n)));
    assert.ok((await Promise.all(asked)).every((answer) => answer === 'OK'));
    const answers = await Promise.all(asked.map((_, n) => c.get(`many:${n}`)));
    assert.deepEqual(answers, asked.map((_, n) => String(n)));
  });
  await run('multi', async (c) => {
    assert.deepEqual(await c.multi().set('{m}a', '1').incr('{m}a').get('{m}a').exec(), ['OK', 2, '2']);
    await c.watch('{m}a');
    await connected(RESP, (other) => other.set('{m}a', '9'));
    await assert.rejects(c.multi().set('{m}a', '0').exec(), (error) => {
      if (/unknown/i.test(String(error))) throw error;
      return error.constructor.name === 'WatchError';
    });
  }, 'MULTI');
  await run('the eventual database', async (c) => {
    assert.equal(await c.set('level', 'x'), 'OK');
    assert.equal(await c.get('level'), 'x');
    await assert.rejects(c.incr('n'), /strong database/);
  }, undefined, '/2');
  await run('about the server', async (c) => {
    assert.match(await c.info('server'), /redis_version:7/);
    assert.equal((await c.configGet('databases')).databases, '3');
    assert.equal(await c.ping(), 'PONG');
    await c.clientSetName('js');
    assert.equal(await c.clientGetName(), 'js');
  });
  await run('client list', async (c) => {
    assert.ok((await c.clientList()).length > 0);
  }, 'CLIENT LIST');
}
