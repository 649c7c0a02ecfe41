"""Rows of a Markdown table from figures of ``saywhere bench --json``, times from runs of their own if given.

    .venv/bin/python examples/rows.py runs/grabcut-*.json --times runs/times-*.json

Times depend on what else the machine does, figures do not: so they may come from a short run on an idle machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from saywhere.evaluation.compare import read_figures


def spread(figures: dict[str, Any], name: str, digits: int) -> str:
    low, high = figures[f"{name}_interval"]
    return f"{figures[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--times", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    times = {figures["model"]: figures for figures in map(read_figures, given.times)}
    print(
        "| method | data | objects | NoC@85 | NoC@90 | mIoU@1 | ms a click, p50 / p95 |\n|---|---|---|---|---|---|---|"
    )
    for figures in map(read_figures, given.runs):
        timed = times.get(figures["model"])
        ms = f"{timed['click_ms_p50']:.0f} / {timed['click_ms_p95']:.0f}" if timed else ""
        print(
            f"| {figures['model']} | {figures['data']} | {figures['objects']} | {figures['noc85']:.2f} "
            f"| {spread(figures, 'noc90', 2)} | {spread(figures, 'miou1', 3)} | {ms} |"
        )


if __name__ == "__main__":
    main()
