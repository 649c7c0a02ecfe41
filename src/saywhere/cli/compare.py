"""``saywhere compare``: Compare runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saywhere.cli.common import print_table
from saywhere.errors import SaywhereError
from saywhere.evaluation.groups import Grouping

if TYPE_CHECKING:
    from saywhere.evaluation.compare import Difference, Groups

DIFFERENCE_HEADER = ("group", "objects", "figure", "A", "B", "B - A", "95 % interval", "")


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="A [B ...]", help="figures of saywhere bench --json, on the same objects")
    ],
    by: Annotated[
        list[Grouping] | None, typer.Option(help="also for each group of objects, not only for all together")
    ] = None,
    figure: Annotated[
        list[str] | None, typer.Option(help="what to compare, for example noc90, miou3, auc; several are possible")
    ] = None,
    at: Annotated[
        list[int] | None,
        typer.Option(min=1, help="mIoU after this many interactions; given once, or once for each run"),
    ] = None,
    interactions: Annotated[
        bool,
        typer.Option(
            "--interactions",
            help="mIoU at 1, 2, 3, ... interactions and NoC, with a phrase counted and not (--at: which)",
        ),
    ] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="one row for each run, which may be on other objects; no differences")
    ] = False,
    times: Annotated[bool, typer.Option("--times", help="with --summary: milliseconds per click too")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="print Markdown")] = False,
) -> None:
    """Whether B, and each further run, is better than A: paired differences with 95 % bootstrap intervals over objects.

    With one run alone its figures and their intervals.
    """
    from saywhere.evaluation import report
    from saywhere.evaluation.compare import COMPARED, read_figures

    results = [read_figures(path) for path in runs]
    if summary:
        if by or figure or at or interactions:
            raise SaywhereError("--summary: shows the same figures of every run; leave --by, --figure and the like out")
        print_table(report.summary_header(times), [report.summary_row(run, times) for run in results], markdown)
        return
    if times:
        raise SaywhereError("--times: only with --summary")
    if interactions:
        _print_interactions(runs, results, figure, at, by or [], markdown)
        return
    figures = _figures_of_runs(figure, at, len(results)) or [COMPARED] * len(results)
    groups = _groups(by or [], results[0])
    if len(results) == 1:
        _print_estimates(results[0], figures[0], groups, markdown)
    for name, run, theirs in zip(runs[1:], results[1:], figures[1:], strict=True):
        if len(results) > 2:
            print_table([f"{name} (B) and {runs[0]} (A)"], [], markdown)
        _print_differences(results[0], run, figures[0], theirs, groups, markdown)


def _print_interactions(
    runs: Sequence[Path],
    results: Sequence[dict[str, Any]],
    figure: list[str] | None,
    at: list[int] | None,
    by: Sequence[Grouping],
    markdown: bool,
) -> None:
    """Every further run against the first one at equal numbers of interactions, under each counting."""
    from saywhere.evaluation.interactions import NUMBERS, compare_interactions
    from saywhere.evaluation.report import prompts_of

    if len(results) < 2:
        raise SaywhereError("--interactions: compares runs; give at least two")
    if figure:
        raise SaywhereError("--interactions: has its own figures; leave --figure out")
    groups = _groups(by, results[0])
    for path, run in zip(runs[1:], results[1:], strict=True):
        print_table([f"A: {prompts_of(results[0])} ({runs[0]}). B: {prompts_of(run)} ({path})."], [], markdown)
        rows = [
            [row.counting.name, *_difference_cells(row.difference)]
            for row in compare_interactions(results[0], run, groups, at or NUMBERS)
        ]
        print_table(["counting", *DIFFERENCE_HEADER], rows, markdown)


def _figures_of_runs(figure: list[str] | None, at: list[int] | None, count: int) -> list[Sequence[str]] | None:
    """The figures that each run is compared by; None when nothing was chosen."""
    if figure and at:
        raise SaywhereError("--figure, --at: give one of them")
    if figure:
        return [figure] * count
    if not at:
        return None
    if len(at) not in (1, count):
        raise SaywhereError(f"--at: given {len(at)} times for {count} runs; give it once, or once for each run")
    return [[f"miou{k}"] for k in (at * count if len(at) == 1 else at)]


def _groups(by: Sequence[Grouping], run: dict[str, Any]) -> Groups:
    """All objects, then the groups of each grouping."""
    from saywhere.evaluation.compare import ALL
    from saywhere.evaluation.groups import group_objects

    groups = {ALL: sorted(run["ious"])}
    for one in by:
        groups |= group_objects(one, run)
    return groups


def _print_estimates(run: dict[str, Any], figures: Sequence[str], groups: Groups, markdown: bool) -> None:
    from saywhere.evaluation.compare import estimate

    rows = [
        [row.group, str(row.objects), row.figure, f"{row.mean:.3f}", f"{row.low:.3f} to {row.high:.3f}"]
        for row in estimate(run, figures, groups)
    ]
    print_table(["group", "objects", "figure", "A", "95 % interval"], rows, markdown)


def _print_differences(
    a: dict[str, Any], b: dict[str, Any], figures: Sequence[str], theirs: Sequence[str], groups: Groups, markdown: bool
) -> None:
    from saywhere.evaluation.compare import compare

    rows = [_difference_cells(row) for row in compare(a, b, figures, groups, None if figures == theirs else theirs)]
    print_table(DIFFERENCE_HEADER, rows, markdown)


def _difference_cells(row: Difference) -> list[str]:
    """A row of a table of differences, as DIFFERENCE_HEADER names its cells."""
    return [
        row.group,
        str(row.objects),
        row.figure,
        f"{row.a:.3f}",
        f"{row.b:.3f}",
        f"{row.difference:+.3f}",
        f"{row.low:+.3f} to {row.high:+.3f}",
        "differs" if row.certain else "may be chance",
    ]
