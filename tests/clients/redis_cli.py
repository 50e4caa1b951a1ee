"""redis-cli: by hand at a terminal, and its modes for operators."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from checks import PORTS, check, same

PORT = str(PORTS[0])


def cli(*args, stdin=b"", timeout=20):
    asked = ["redis-cli", "-p", PORT, *args]
    done = subprocess.run(asked, input=stdin, capture_output=True, timeout=timeout)
    assert done.returncode == 0, f"code {done.returncode}: {done.stderr!r}"
    return done.stdout.decode()


class Terminal:
    """A program at a terminal; what it shows is waited for, never for ever."""

    def __init__(self, *args):
        self.id, self.fd = pty.fork()
        if self.id == 0:
            # Without a size redis-cli asks the terminal for one, and this one answers nothing.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
            os.environ.update(TERM="xterm", HOME="/nonexistent")
            os.execvp(args[0], args)
        self.shown = ""

    def expect(self, pattern):
        deadline = time.time() + 15
        while not (found := re.search(pattern, self.shown)):
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.time()))
            assert ready, f"no {pattern!r} in {self.shown[-400:]!r}"
            self.shown += os.read(self.fd, 65536).decode(errors="replace")
        self.shown = self.shown[found.end():]
        self.found = found

    def send(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        os.close(self.fd)
        os.waitpid(self.id, 0)


def by_hand():
    session = Terminal("redis-cli", "-p", PORT)
    prompt = rf"127.0.0.1:{PORT}(\[\d\])?> "
    session.expect(prompt)
    for typed, expected in (
        ('set by:hand "two words"\r', "OK\r\n"),
        ("get by:hand\r", '"two words"\r\n'),
        ("strlen by:hand\r", r"\(integer\) 9\r\n"),
        ("get by:nobody\r", r"\(nil\)\r\n"),
        ("incr by:hand\r", r"\(error\) ERR value is not an integer or out of range\r\n"),
        ("mget by:hand by:nobody\r", r'1\) "two words"\r\n2\) \(nil\)\r\n'),
        ("select 2\r", "OK\r\n"),
        ("get by:hand\r", r"\(nil\)\r\n"),
        ("select 0\r", "OK\r\n"),
        ("nonsense x\r", r"\(error\) ERR unknown command 'nonsense', with args beginning with: 'x'.*\r\n"),
    ):
        session.send(typed)
        session.expect(expected)
        # What is typed before redis-cli reads is lost.
        session.expect(prompt)
    session.end()


def hints():
    """redis-cli hints at what COMMAND DOCS tells of a command's arguments."""
    if "arguments" not in cli("COMMAND", "DOCS", "expire"):
        raise RuntimeError("unknown command arguments")
    session = Terminal("redis-cli", "-p", PORT)
    session.expect("> ")
    session.send("EXPIRE ")
    session.expect("key")
    session.send("\x03")
    session.end()


def resp3():
    session = Terminal("redis-cli", "-3", "-p", PORT)
    session.expect("> ")
    session.send("config get databases\r")
    session.expect(r'1# "databases" => "\d+"\r\n')
    session.expect("> ")
    session.send("get by:nobody\r")
    session.expect(r"\(nil\)\r\n")
    session.expect("> ")
    session.send("quit\r")
    session.end()


def scan():
    cli(stdin="".join(f"SET scanned:{n} {n}\n" for n in range(300)).encode())
    found = cli("--scan", "--pattern", "scanned:*").split()
    same((len(found), len(set(found))), (300, 300))


def pipe():
    words = lambda *args: b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in args)
    many = b"".join(words(b"SET", b"piped:%d" % n, b"%d" % n) for n in range(10_000))
    printed = cli("--pipe", stdin=many)
    assert "errors: 0, replies: 10000" in printed, printed
    same(cli("GET", "piped:9999"), "9999\n")


def endless(*args, pattern):
    """Modes that go on until somebody ends them."""
    session = Terminal("redis-cli", "-p", PORT, *args)
    session.expect(pattern)
    session.send("\x03")
    session.end()


def big_keys():
    cli("-x", "SET", "the-biggest", stdin=b"x" * 5000)
    printed = cli("--bigkeys")
    assert '"the-biggest"' in printed and "5000 bytes" in printed, printed[-600:]


def memory_keys():
    printed = cli("--memkeys")
    assert "unknown" not in printed.lower(), printed[-300:]
    assert "Biggest string found" in printed, printed[-600:]


def latency():
    least, most, mean, count = cli("--latency", "--raw", "-i", "1").split()[:4]
    assert 0 <= float(least) <= float(mean) <= float(most) and int(count) > 10


def monitor():
    session = Terminal("redis-cli", "-p", PORT, "monitor")
    session.expect("OK\r\n|(?P<error>.*unknown command.*)\r\n")
    if session.found["error"]:
        raise RuntimeError(session.found["error"])
    cli("SET", "watched", "x")
    session.expect('"SET" "watched" "x"')
    session.end()


def has(*command):
    """Fails as the node does if it does not know a command."""
    printed = cli(*command)
    if "unknown command" in printed.lower() or "unknown subcommand" in printed.lower():
        raise RuntimeError(printed.strip())
    return printed


check("redis-cli by hand", by_hand)
check("redis-cli hints", hints, "arguments in COMMAND DOCS")
check("redis-cli -3", resp3)
check("redis-cli --scan", scan)
check("redis-cli --pipe of 10,000 commands", pipe)
check("redis-cli --stat", lambda: endless("--stat", "-i", "1", pattern=r"keys[^\n]*\n\d+ +[0-9.]+[BKMG] +\d+ +\d+ +\d+ \(\+0\) +\d+"))
check("redis-cli --latency", latency)
check("redis-cli --bigkeys", big_keys)
check("redis-cli --memkeys", lambda: (has("MEMORY", "USAGE", "the-biggest"), memory_keys()), "MEMORY USAGE")
check("redis-cli monitor", monitor, "MONITOR")
check("redis-cli CLIENT LIST", lambda: same("addr=" in has("CLIENT", "LIST"), True), "CLIENT LIST")
check("redis-cli SLOWLOG", lambda: has("SLOWLOG", "GET"), "SLOWLOG")
check("redis-cli LATENCY", lambda: has("LATENCY", "LATEST"), "LATENCY")
