// ioredis in its usual use.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import * as ioredis from 'ioredis';
import { PORTS, check } from './checks.mjs';

const Redis = ioredis.Redis ?? ioredis.default;
const { version } = createRequire(import.meta.url)('ioredis/package.json');

async function run(what, work, needs, options = {}) {
  await check(`ioredis ${version} ${what}`, async () => {
    const client = new Redis({ port: PORTS[1], maxRetriesPerRequest: 1, ...options });
    client.on('error', () => {});
    try {
      await work(client);
    } finally {
      client.disconnect();
    }
  }, needs);
}

await run('strings', async (c) => {
  await c.del('i', 'n', 'b');
  assert.equal(await c.set('i', 'x', 'EX', 100, 'NX'), 'OK');
  assert.equal(await c.set('i', 'y', 'EX', 100, 'NX'), null);
  assert.equal(await c.get('i'), 'x');
  assert.deepEqual([await c.incr('n'), await c.incrby('n', 4), await c.decr('n')], [1, 5, 4]);
  assert.deepEqual(await c.mget('i', 'nobody'), ['x', null]);
  await c.mset({ i: '1', n: '2' });
  assert.equal(await c.append('i', '23'), 3);
  const bytes = Buffer.from([0, 255, 13, 10]);
  await c.set('b', bytes);
  assert.deepEqual(await c.getBuffer('b'), bytes);
  assert.equal(await c.getdel('i'), '123');
});
await run('expiry', async (c) => {
  await c.setex('e', 100, 'x');
  assert.ok((await c.pttl('e')) > 99_000);
  assert.equal(await c.pexpire('e', 60), 1);
  const deadline = Date.now() + 5000;
  while ((await c.get('e')) !== null) assert.ok(Date.now() < deadline);
});
await run('pipeline', async (c) => {
  const pipeline = c.pipeline();
  for (let n = 0; n < 500; n += 1) pipeline.set(`p:${n}`, n).get(`p:${n}`);
  const answers = await pipeline.exec();
  assert.equal(answers.length, 1000);
  assert.ok(answers.every(([error]) => error === null));
  assert.equal(answers[999][1], '499');
  const [set, incr] = await c.pipeline().set('p:x', 'x').incr('p:x').exec();
  assert.equal(set[1], 'OK');
  assert.match(String(incr[0]), /not an integer/);
});
await run('automatic pipelining', async (c) => {
  const answers = await Promise.all(Array.from({ length: 300 }, (_, n) => c.set(`a:${n}`, n)));
  assert.ok(answers.every((answer) => answer === 'OK'));
}, undefined, { enableAutoPipelining: true });
await run('scan', async (c) => {
  await c.mset(Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`io:${n}`, 'x'])));
  const found = new Set();
  for await (const keys of c.scanStream({ match: 'io:*', count: 30 })) keys.forEach((k) => found.add(k));
  assert.equal(found.size, 200);
  assert.equal(await c.unlink(...found), 200);
});
await run('multi', async (c) => {
  const answers = await c.multi().set('{m}i', '1').incr('{m}i').exec();
  assert.deepEqual(answers, [[null, 'OK'], [null, 2]]);
}, 'MULTI');
await run('the quorum database', async (c) => {
  assert.equal(await c.set('level', 'x'), 'OK');
  assert.equal(await c.get('level'), 'x');
  await assert.rejects(c.incr('n'), /strong database/);
}, undefined, { db: 1 });
await run('about the server', async (c) => {
  assert.match(await c.info(), /redis_version:7/);
  assert.equal(await c.ping(), 'PONG');
  assert.ok((await c.dbsize()) > 0);
});
await run('locks by script', async (c) => {
  await c.set('lock', 'mine', 'PX', 20_000);
  const script = 'if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end';
  assert.equal(await c.eval(script, 1, 'lock', 'other'), 0);
  assert.equal(await c.eval(script, 1, 'lock', 'mine'), 1);
  c.defineCommand('unlock', { numberOfKeys: 1, lua: script });
  assert.equal(await c.unlock('lock', 'mine'), 0);
}, 'EVAL');
