"""Fuzz the readers and the annotator's server.

    python -m fuzz                                  # every target, 60 seconds each
    python -m fuzz images --count 20000 --seed 1    # one target, a number of inputs
    python -m fuzz images --replay 1:4711           # one input again, by seed and number

A failure is an exception that is no SaywhereError, the end of the process, more than 10 seconds of the processor or
more than 1.5 GB. Its input is kept in ``fuzz/failures/TARGET``; move it to ``fuzz/seeds/TARGET`` when it is mended:
the test suite reads all seeds.
"""

from __future__ import annotations

import argparse
import sys
import time

from fuzz.runner import Limits, replay, run_target
from fuzz.targets import TARGETS


def main() -> int:
    """Run the targets that the command line names; 1 when one has failed."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.split("\n", 1)[0])
    parser.add_argument("targets", nargs="*", help=f"{', '.join([*TARGETS, 'http'])}; all by default")
    parser.add_argument("--count", type=int, help="inputs of each target; by default as many as the time allows")
    parser.add_argument("--seconds", type=float, default=None, help="time of each target; 60 without --count")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--replay", metavar="SEED:NUMBER", help="run one input in this process, with its traceback")
    given = parser.parse_args()
    names = given.targets or [*TARGETS, "http"]
    if unknown := [name for name in names if name not in TARGETS and name != "http"]:
        parser.error(f"no target {unknown[0]!r}; choose from {', '.join([*TARGETS, 'http'])}")
    if given.replay:
        seed, number = (int(part) for part in given.replay.split(":"))
        print(replay(names[0], seed, number))
        return 0
    seconds = given.seconds if given.seconds or given.count else 60.0
    failed = 0
    for name in names:
        start = time.monotonic()
        if name == "http":
            from fuzz.http import fuzz_http  # the only target that needs schemathesis

            tried, failures = fuzz_http(given.count or 1000, given.seed)
        else:
            tried, failures = run_target(name, Limits(given.count, seconds), given.seed, given.processes)
        print(f"{name}: {tried:,} inputs in {time.monotonic() - start:.0f} s, {len(failures)} failures", flush=True)
        for failure in failures:
            print(f"  {failure}", flush=True)
        failed += len(failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
