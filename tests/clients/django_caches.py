"""Django's own cache on Redis, and django-redis, in their usual use."""

import concurrent.futures
import time

import django
import django_redis
from django.conf import settings

from checks import PORTS, check, raises, same

NODE = f"redis://localhost:{PORTS[0]}"
settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"{NODE}/0",
            "KEY_PREFIX": "django",
        },
        "django-redis": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"{NODE}/0",
            "KEY_PREFIX": "other",
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
        },
        # A cache may lose what it holds: the level that asks nobody else.
        "eventual": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"{NODE}/2",
        },
    }
)
django.setup()

from django.core.cache import caches  # noqa: E402  (after the settings)


def single(cache):
    cache.delete("a")
    same((cache.get("a"), cache.get("a", "nothing")), (None, "nothing"))
    cache.set("a", {"deep": [1, "zwei", None]}, 300)
    same(cache.get("a"), {"deep": [1, "zwei", None]})
    same(("a" in cache, cache.has_key("b-missing")), (True, False))
    same((cache.add("a", 1), cache.add("a-new", 1, 5)), (False, True))
    same((cache.delete("a"), cache.delete("a"), cache.delete("a-new")), (True, False, True))
    same((cache.get_or_set("made", lambda: 42, 10), cache.get("made")), (42, 42))
    cache.set("v", "one", version=1)
    cache.set("v", "two", version=2)
    same((cache.get("v", version=1), cache.get("v", version=2)), ("one", "two"))
    cache.set("gone", 1, timeout=0)
    same(cache.get("gone"), None)


def ending(cache):
    cache.set("short", 1, timeout=1)
    same((cache.get("short"), cache.touch("short", 60), cache.touch("missing")), (1, True, False))
    cache.set("forever", 1, timeout=None)
    same((cache.get("forever"), cache.touch("forever", 60), cache.touch("forever", None)), (1, True, True))
    cache.set("brief", 1, timeout=1)
    deadline = time.time() + 5
    while cache.get("brief") is not None:
        assert time.time() < deadline, "it does not end"
        time.sleep(0.05)


def numbers(cache):
    cache.set("n", 5)
    same((cache.incr("n"), cache.incr("n", 4), cache.decr("n", 3), cache.get("n")), (6, 10, 7, 7))
    raises(ValueError, lambda: cache.incr("missing"))


def many(cache):
    values = {f"many:{n}": n for n in range(50)}
    same(list(cache.set_many(values, 60) or []), [])
    same(cache.get_many([*values, "missing"]), values)
    cache.delete_many(list(values))
    same(cache.get_many(values), {})


def patterns(cache):
    for n in range(30):
        cache.set(f"pattern:{n}", n)
    same(len(cache.keys("pattern:*")), 30)
    same(len(list(cache.iter_keys("pattern:*"))), 30)
    assert cache.ttl("pattern:1") > 0 and cache.persist("pattern:1") and cache.ttl("pattern:1") is None
    same(cache.expire("pattern:1", 100), True)
    same((cache.delete_pattern("pattern:*"), cache.keys("pattern:*")), (30, []))


def lock(cache):
    with cache.lock("lock", timeout=10):
        same(cache.lock("lock", timeout=10).acquire(blocking=False), False)


def clear(cache):
    cache.set("a", 1)
    cache.clear()
    same(cache.get("a"), None)


def script_numbers(cache):
    """django-redis counts by a script of its own, so that of many at once none gets lost."""
    cache.set("n", 5, 300)
    same((cache.incr("n"), cache.incr("n", 4), cache.decr("n", 3), cache.get("n")), (6, 10, 7, 7))
    same(0 < cache.ttl("n") <= 300, True)
    raises(ValueError, lambda: cache.incr("missing"))
    cache.delete("made")
    same((cache.incr("made", 3, ignore_key_check=True), cache.incr("made")), (3, 4))
    cache.set("many", 0)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: cache.incr("many"), range(200)))
    same(cache.get("many"), 200)


names = {
    "default": f"django {django.__version__}",
    "django-redis": f"django-redis {django_redis.__version__}",
    "eventual": f"django {django.__version__} on the eventual database",
}
for alias, body, needs in (
    ("default", single, None), ("default", ending, None), ("default", numbers, None),
    ("default", many, "MULTI"), ("default", clear, None),
    ("django-redis", single, None), ("django-redis", ending, None), ("django-redis", script_numbers, "EVAL"),
    ("django-redis", many, "MULTI"), ("django-redis", patterns, "MULTI"),
    ("django-redis", lock, "EVALSHA"), ("django-redis", clear, None),
    ("eventual", clear, None),
):
    check(f"{names[alias]} {body.__name__}", lambda: body(caches[alias]), needs)
