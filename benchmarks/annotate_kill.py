"""Kills the annotator's server without warning while four clients annotate, and checks that nothing is lost or doubled.

    python benchmarks/annotate_kill.py --kills 500

After every kill: the database is whole, each image's events are 1 to n, their replay is the state that was answered
last, every answer ever given is stored as it was, and requests sent again are not done twice. The exit status is 1
where that is not so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import kill_server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--longest", type=float, default=0.8, help="seconds of annotating before a kill, at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_server.run(Path(folder), options.kills, options.seed, options.longest)
    print(f"{outcome.kills} kills, {outcome.answers} answers, {outcome.resent} requests sent again")
    print("nothing lost, nothing doubled" if not outcome.faults else "\n".join(outcome.faults))
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
