"""redis-py in its usual use, over RESP2 and RESP3."""

import asyncio
import threading
import time

import redis
import redis.asyncio

from checks import PORTS, check, raises, same


def client(protocol, node=0, **options):
    return redis.Redis(port=PORTS[node], protocol=protocol, socket_timeout=10, **options)


def strings(p):
    r, other = client(p), client(p, node=1)
    r.delete("s", "n", "f", "b", "bits")
    same(r.set("s", "one"), True)
    same(other.get("s"), b"one")
    same(r.set("s", "two", nx=True), None)
    same(r.set("s", "two", xx=True, get=True), b"one")
    same(r.getset("s", "three"), b"two")
    same((r.append("s", "!"), r.strlen("s"), r.getrange("s", 1, 3)), (6, 6, b"hre"))
    same((r.setrange("s", 0, "T"), r.get("s")), (6, b"Three!"))
    same((r.incr("n"), r.incr("n", 9), r.decr("n", 2), r.get("n")), (1, 10, 8, b"8"))
    same(r.incrbyfloat("f", 1.5), 1.5)
    same((r.mset({"s": "a", "n": 1}), r.mget("s", "nobody", "n")), (True, [b"a", None, b"1"]))
    same((r.setnx("s", "b"), r.setnx("b", bytes(range(256)))), (False, True))
    same(r.get("b"), bytes(range(256)))
    same((r.setbit("bits", 7, 1), r.getbit("bits", 7), r.bitcount("bits")), (0, 1, 1))
    same((r.exists("s", "n", "nobody"), r.type("s"), r.touch("s"), r.unlink("n")), (2, b"string", 1, 1))
    same((r.getdel("s"), r.get("s")), (b"a", None))
    same(client(p, decode_responses=True).set("s", "grün", get=True), None)
    same(client(p, node=2, decode_responses=True).get("s"), "grün")
    raises(redis.ResponseError, lambda: r.incr("s"), "not an integer")


def expiry(p):
    r = client(p)
    r.set("e", "x", ex=100)
    assert 99 <= r.ttl("e") <= 100 and 99_000 < r.pttl("e") <= 100_000
    same((r.persist("e"), r.ttl("e")), (True, -1))
    same((r.expire("e", 50), r.expire("e", 60, nx=True), r.expire("e", 70, gt=True)), (True, False, True))
    soon = int(time.time()) + 1000
    same((r.expireat("e", soon), r.expiretime("e")), (True, soon))
    same((r.getex("e", px=30_000), r.ttl("nobody")), (b"x", -2))
    r.psetex("short", 60, "x")
    same(r.get("short"), b"x")
    deadline = time.time() + 5
    while r.get("short") is not None:
        assert time.time() < deadline, "it does not end"
        time.sleep(0.02)


def scan(p):
    r = client(p)
    keys = {f"scan:{n}".encode() for n in range(500)}
    r.mset({key: "x" for key in keys})
    r.set("other", "x")
    found = list(r.scan_iter(match="scan:*", count=37))
    same((len(found), set(found)), (500, keys))
    same(set(r.keys("scan:1?")), {f"scan:1{n}".encode() for n in range(10)})
    assert r.dbsize() >= 501 and r.randomkey() is not None
    same(r.delete(*keys), 500)
    same(list(r.scan_iter(match="scan:*")), [])


def pipeline(p):
    r = client(p)
    pipe = r.pipeline(transaction=False)
    for n in range(1000):
        pipe.set(f"pipe:{n}", n).get(f"pipe:{n}")
    same(pipe.execute(), [answer for n in range(1000) for answer in (True, str(n).encode())])
    pipe.set("pipe:x", "x").incr("pipe:x").get("pipe:x")
    answers = pipe.execute(raise_on_error=False)
    assert isinstance(answers[1], redis.ResponseError) and answers[2] == b"x", answers


def transaction(p):
    r = client(p)
    r.set("{t}n", 5)
    with r.pipeline() as pipe:
        same(pipe.incr("{t}n").set("{t}s", "x").get("{t}s").execute(), [6, True, b"x"])
    with r.pipeline() as pipe:
        pipe.watch("{t}n")
        before = int(pipe.get("{t}n"))
        pipe.multi()
        pipe.set("{t}n", before + 1)
        pipe.execute()
    same(r.get("{t}n"), b"7")
    with r.pipeline() as pipe:
        pipe.watch("{t}n")
        r.set("{t}n", "changed")
        pipe.multi()
        pipe.set("{t}n", "lost")
        raises(redis.WatchError, pipe.execute)
    same(r.get("{t}n"), b"changed")

    def add(pipe):
        before = int(pipe.get("{t}n"))
        pipe.multi()
        pipe.set("{t}n", before + 1)

    r.set("{t}n", 1)
    same((r.transaction(add, "{t}n"), r.get("{t}n")), ([True], b"2"))


def lock(p):
    r, other = client(p), client(p, node=1)
    r.delete("lock")
    with r.lock("lock", timeout=20) as held:
        assert held.locked() and held.owned()
        same(other.lock("lock", timeout=20).acquire(blocking=False), False)
        same(held.extend(30), True)
        same(held.reacquire(), True)
        assert 0 < r.ttl("lock") <= 20
    same(r.get("lock"), None)
    late = other.lock("lock", timeout=20)
    same(late.acquire(blocking=False), True)
    r.set("lock", "somebody else")
    raises(redis.exceptions.LockNotOwnedError, late.release)
    same(r.get("lock"), b"somebody else")
    r.delete("lock")


def threads(p):
    r = client(p, max_connections=8)
    r.delete("count")
    failed = []

    def work():
        try:
            for _ in range(100):
                r.incr("count")
        except redis.RedisError as error:
            failed.append(error)

    workers = [threading.Thread(target=work) for _ in range(8)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    same((failed, r.get("count")), ([], b"800"))


def levels(p):
    for db, name in ((1, "quorum"), (2, "eventual")):
        r = redis.Redis.from_url(f"redis://localhost:{PORTS[0]}/{db}?protocol={p}")
        same((r.set("level", name), r.get("level")), (True, name.encode()))
        raises(redis.ResponseError, lambda: r.incr("n"), "needs the strong database")
        same((r.flushdb(), r.get("level")), (True, None))


def server(p):
    r = client(p, client_name="checks")
    same((r.ping(), r.echo("x")), (True, b"x"))
    assert r.client_getname() in ("checks", b"checks")
    info = r.info()
    same((info["redis_version"][:2], info["role"], info["loading"]), ("7.", "master", 0))
    same(r.config_get("databases"), {"databases": "3"})
    assert r.time()[0] > 0 and r.lastsave() is not None and r.command_count() > 60
    assert r.client_id() > 0 and "get" in r.command()
    same(r.object("encoding", "count"), b"int")


def asynchronous(p):
    async def work():
        r = redis.asyncio.Redis(port=PORTS[2], protocol=p)
        await asyncio.gather(*(r.set(f"async:{n}", n) for n in range(100)))
        same(await r.mget([f"async:{n}" for n in range(100)]), [str(n).encode() for n in range(100)])
        same(len([key async for key in r.scan_iter(match="async:*")]), 100)
        await r.aclose()

    asyncio.run(work())


def clients_list(p):
    r = client(p, client_name="listed")
    own = [one for one in r.client_list() if one["name"] == "listed"]
    same(len(own), 1)
    other = client(p)
    number = other.client_id()
    same(r.client_kill_filter(_id=number), 1)


def slow_log(p):
    r = client(p)
    r.slowlog_reset()
    assert isinstance(r.slowlog_get(10), list) and r.slowlog_len() >= 0


def monitor(p):
    r = client(p)
    with r.monitor() as watched:
        client(p, node=0).set("watched", "x")
        deadline = time.time() + 5
        for command in watched.listen():
            if command["command"].lower().startswith("set watched"):
                break
            assert time.time() < deadline, "it does not show"


def rename(p):
    r = client(p)
    r.delete("{r}c", "{r}d")
    r.mset({"{r}a": "x", "{r}b": "y"})
    same((r.rename("{r}a", "{r}c"), r.get("{r}c"), r.get("{r}a")), (True, b"x", None))
    same((r.renamenx("{r}c", "{r}b"), r.copy("{r}b", "{r}d"), r.get("{r}d")), (False, True, b"y"))


for protocol in (2, 3):
    for body, needs in (
        (strings, None), (expiry, None), (scan, None), (pipeline, None), (transaction, "MULTI"),
        (lock, "EVALSHA"), (threads, None), (levels, None), (server, None), (asynchronous, None),
        (rename, "RENAME"), (clients_list, "CLIENT LIST"), (slow_log, "SLOWLOG"),
        (monitor, "MONITOR"),
    ):
        name = f"redis-py {redis.__version__} RESP{protocol} {body.__name__}"
        check(name, lambda body=body: body(protocol), needs)
