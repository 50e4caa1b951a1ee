#!/usr/bin/env python3
"""Draws a sample of mutants and lets the unit tests and the simulator judge them.

    cargo mutants --list --json --diff -p quorate > mutants.json
    tests/mutants.py mutants.json                   # names the sample
    tests/mutants.py mutants.json --run COPY        # judges it in COPY, a checkout that may be changed

The sample: the mutants of node/strong, the outbox, repair and log, each file with its share of them,
drawn by a generator with a seed. One that can't be built gives way to the next that was drawn of its
file. A judge that fails, or takes far too long, has caught the mutant; those behind it are not asked.
Recorded hashes are no judge: they would catch whatever changes anything.
"""

import argparse
import json
import random
import subprocess
from pathlib import Path

ROOMS = ("src/node/strong/", "src/node/outbox.rs", "src/node/repair.rs", "src/log/")
# A disk for simulations and tests.
NOT_THESE = ("src/log/memory.rs", "src/log/tests/")
TEST = ["cargo", "test", "--locked", "-q"]
SIM = ["cargo", "run", "--locked", "-q", "-p", "sim", "--bin", "sim", "--"]
# Name, command, seconds. The first two only build.
JUDGES = [
    ("unit tests", [*TEST, "-p", "quorate", "--lib"], 120),
    ("kept cases", [*TEST, "-p", "sim", "--test", "cases", "kept_cases_pass"], 120),
    ("seeds", [*SIM, "--seeds", "1500", "--jobs", "2"], 600),
    ("scripts", [*TEST, "-p", "quorate", "--test", "scripts"], 60),
    ("search", [*TEST, "-p", "quorate", "--test", "explore"], 200),
]
BUILDS = {
    "unit tests": [*TEST, "-p", "quorate", "--lib", "--no-run"],
    "kept cases": [*TEST, "-p", "sim", "--bin", "sim", "--test", "cases", "--no-run"],
    "scripts": [*TEST, "-p", "quorate", "--test", "scripts", "--test", "explore", "--no-run"],
}


def draw(mutants, seed, count):
    """Of each file its share: those that were drawn, and for each the rest of its file behind it."""
    files = {}
    for mutant in mutants:
        file = mutant["file"]
        if file.startswith(ROOMS) and not file.startswith(NOT_THESE):
            files.setdefault(file, []).append(mutant)
    total = sum(map(len, files.values()))
    share = {file: len(of_it) * count / total for file, of_it in files.items()}
    quota = {file: int(part) for file, part in share.items()}
    for file in sorted(share, key=lambda file: (quota[file] - share[file], file))[: count - sum(quota.values())]:
        quota[file] += 1
    chance = random.Random(seed)
    sample = []
    for file in sorted(files):
        place = lambda mutant: (mutant["span"]["start"]["line"], mutant["span"]["start"]["column"], mutant["name"])
        drawn = chance.sample(sorted(files[file], key=place), len(files[file]))
        spare = drawn[quota[file] :]
        sample += [(first, spare) for first in drawn[: quota[file]]]
    return total, sample


def run(command, copy, seconds=3600):
    """Whether it ended well and in time."""
    try:
        done = subprocess.run(command, cwd=copy, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def judge(mutant, copy):
    """Who catches it; "nobody", or "unbuildable"."""
    path = Path(copy) / mutant["file"]
    before = path.read_text()
    patch = ["patch", "-s", "--no-backup-if-mismatch", "-r", "-", mutant["file"]]
    subprocess.run(patch, cwd=copy, input=mutant["diff"], text=True, check=True)
    try:
        for name, command, seconds in JUDGES:
            if name in BUILDS and not run(BUILDS[name], copy):
                return "unbuildable"
            if not run(command, copy, seconds):
                return name
        return "nobody"
    finally:
        path.write_text(before)


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("mutants", type=Path)
    flags.add_argument("--seed", type=int, default=60)
    flags.add_argument("--count", type=int, default=60)
    flags.add_argument("--run", metavar="COPY")
    flags = flags.parse_args()
    total, sample = draw(json.loads(flags.mutants.read_text()), flags.seed, flags.count)
    print(f"{len(sample)} of {total} mutants")
    caught = 0
    for mutant, spare in sample:
        if flags.run is None:
            print(mutant["name"])
            continue
        while (by := judge(mutant, flags.run)) == "unbuildable":
            print(f"{mutant['name']}: unbuildable", flush=True)
            mutant = spare.pop(0)
        caught += by != "nobody"
        print(f"{mutant['name']}: {by}", flush=True)
    if flags.run is not None:
        print(f"{caught} of {len(sample)} caught")


if __name__ == "__main__":
    main()
