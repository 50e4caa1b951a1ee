"""redis-benchmark: it ends at the first error reply, so each test must run to its end."""

import re
import subprocess

from checks import PORTS, check


def run(*flags):
    asked = ["redis-benchmark", "-p", str(PORTS[0]), "-t", "ping,set,get,incr,mset", "-q", *flags]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=40)
    printed = done.stdout.replace("\r", "\n")
    for test in ("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"):
        rate = re.search(rf"^{re.escape(test)}: ([0-9.]+) requests per second", printed, re.M)
        assert rate and float(rate[1]) > 0, f"no {test} in {printed[-500:]} {done.stderr[-500:]}"
    assert done.returncode == 0, done.stderr


check("redis-benchmark", lambda: run("-n", "3000", "-c", "20"))
check("redis-benchmark -P 16 -r 1000", lambda: run("-n", "10000", "-c", "20", "-P", "16", "-r", "1000"))
check("redis-benchmark -3", lambda: run("-n", "1000", "-3"))
