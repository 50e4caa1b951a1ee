"""What the checks in Python share: one line for each, and which failures are no failures yet."""

import os
import sys
import traceback

PORTS = [int(port) for port in os.environ["QUORATE_PORTS"].split()]
STRICT = os.environ.get("QUORATE_CLIENTS_STRICT", "") not in ("", "0")


def is_unknown(error):
    """Whether a node says that it does not know a command, or has no such script."""
    text = str(error).lower()
    return "unknown command" in text or "unknown subcommand" in text


def check(name, body, needs=None):
    """Runs one check. `needs` names a command without which it is skipped."""
    try:
        body()
    except Exception as error:  # whatever it is, it is told
        if needs and is_unknown(error) and not STRICT:
            print(f"SKIPPED {name}: the node has no {needs}: {error}")
        else:
            print(f"FAILED {name}: {type(error).__name__}: {error}")
            traceback.print_exc()
    else:
        print(f"ok {name}")
    sys.stdout.flush()


def same(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def raises(kind, body, words=""):
    try:
        body()
    except kind as error:
        if is_unknown(error) and "unknown" not in words:
            raise
        assert words in str(error), f"{error} has no {words!r}"
    else:
        raise AssertionError(f"no {kind.__name__}")
