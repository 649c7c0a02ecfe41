"""Mean IoU after so many interactions, over runs on the same objects, and what each differs from the first.

    .venv/bin/python examples/after.py runs/click.json:3 runs/phrase.json:1 runs/both.json:3

Each argument is a file of ``saywhere bench --json`` and a number of interactions. Differences are paired; all with
95 % bootstrap intervals over the objects.
"""

from __future__ import annotations

import sys
from pathlib import Path

from saywhere.core.metrics import interval
from saywhere.evaluation.compare import read_figures


def after(argument: str) -> dict[str, float]:
    """IoU in percent by the object's name."""
    path, _, count = argument.rpartition(":")
    ious = read_figures(Path(path))["ious"]
    return {name: 100.0 * values[min(int(count), len(values)) - 1] for name, values in ious.items()}


def told(values: list[float], form: str) -> str:
    low, high = interval(values)
    return f"{sum(values) / len(values):{form}} ({low:{form}} to {high:{form}})"


def main(arguments: list[str]) -> None:
    if not arguments:
        sys.exit(__doc__)
    first = after(arguments[0])
    for argument in arguments:
        ious = after(argument)
        if ious.keys() != first.keys():
            sys.exit(f"{argument}: not the same objects as {arguments[0]}")
        difference = "" if argument == arguments[0] else told([ious[name] - first[name] for name in first], "+.1f")
        print(f"{argument:34} {told(list(ious.values()), '.1f')}  {difference}")


if __name__ == "__main__":
    main(sys.argv[1:])
