"""``saywhere bench``: Measure methods with a robot user."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from saywhere.cli.common import advance_bar, console, errors, read_text
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.evaluation.phrases import PhraseMode
from saywhere.parallel.local import Engine


def bench(
    data: Annotated[list[str], typer.Option(help="a known data set, or a COCO JSON file beside its photographs")],
    json_out: Annotated[
        Path, typer.Option("--json", help="where the figures go; interactions go beside it, as .jsonl")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(help="weights (file, hub id or shipped name), a classical method, module:factory"),
    ] = None,
    clicks: Annotated[int, typer.Option(min=1, help="interactions at most")] = 20,
    drag: Annotated[bool, typer.Option("--drag", help="the robot drags each click to the region's boundary")] = False,
    phrase: Annotated[
        PhraseMode | None, typer.Option(help="the robot says the object's own phrase after its first click; or so")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only this many objects, spread evenly")] = None,
    size: Annotated[int, typer.Option(min=32, help="longer side of the first look")] = Settings.size,
    zoom_size: Annotated[int, typer.Option(min=32, help="longer side of the closer look")] = Settings.zoom_size,
    zoom: Annotated[bool, typer.Option("--zoom/--no-zoom", help="look closer at the object")] = True,
    refine: Annotated[str | None, typer.Option(help="graph-cut: smooth every mask with it, for people's eyes")] = None,
    unclicked_components: Annotated[
        float, typer.Option(min=0, help="0: keep pieces of a mask that no click is on")
    ] = Settings.unclicked_components,
    flip: Annotated[bool, typer.Option("--flip", help="ask about the mirrored photograph too: twice the time")] = False,
    threads: Annotated[int, typer.Option(min=1, help="processor threads of the network")] = 2,
    jobs: Annotated[int, typer.Option(min=1, help="processes of the local engine")] = 1,
    engine: Annotated[Engine, typer.Option(help="this machine, or a Ray cluster (see RAY_ADDRESS)")] = Engine.LOCAL,
    seen: Annotated[Path | None, typer.Option(help="labels that were trained on, one a line")] = None,
    report: Annotated[Path | None, typer.Option(help="folder of a page with table, curves and gallery")] = None,
    sequence: Annotated[
        bool, typer.Option("--sequence", help="objects of a label one after another, with proposals and learning")
    ] = False,
    one_label: Annotated[bool, typer.Option("--one-label", help="sequence: one for all labels together")] = False,
    label: Annotated[list[str] | None, typer.Option(help="sequence: only these labels")] = None,
    icp: Annotated[bool, typer.Option(help="sequence: propose first clicks")] = True,
    opo: Annotated[bool, typer.Option(help="sequence: learn from accepted masks")] = True,
    published: Annotated[bool, typer.Option("--published", help="sequence: the paper's rate, batch and level")] = False,
    interval: Annotated[int, typer.Option(min=1, help="sequence: object n sees what n - INTERVAL taught")] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="sequence: how often, each with a seed of its own")] = 1,
    until: Annotated[int, typer.Option(min=1, max=99, help="sequence: the IoU in percent that is accepted")] = 90,
) -> None:
    """Measure methods on data sets with the robot user; writes every figure and what could change it.

    Several --model or --data make one run each; their files are numbered.
    """
    from saywhere.evaluation import benchmark as run
    from saywhere.evaluation import report as pages
    from saywhere.evaluation.sequences import SequenceTask, bench_sequences
    from saywhere.interactive.sequence import PUBLISHED, SequenceOptions

    if not sequence and (one_label or label):
        raise SaywhereError("--one-label, --label: only with --sequence")
    if sequence and (drag or seen or phrase not in (None, PhraseMode.OWN)):
        raise SaywhereError("--sequence: goes by clicks, with no phrase or --phrase own; leave --drag and --seen out")
    if report:
        pages.check_installed()
    settings = Settings(
        size=size, zoom_size=zoom_size, zoom=zoom, refine=refine, unclicked_components=unclicked_components, flip=flip
    )
    methods: list[str | None] = [*model] if model else [None]
    options = replace(PUBLISHED if published else SequenceOptions(), propose=icp, learn=opo, interval=interval)
    tasks: list[run.Task | SequenceTask] = [
        SequenceTask(
            name, place, settings, options, one_label, seeds, until / 100, clicks, limit,
            threads, phrase is not None, tuple(label or ()),
        )
        if sequence
        else run.Task(name, place, settings, clicks, drag, limit, threads, phrase)
        for place in data
        for name in methods
    ]  # fmt: skip
    outs = [
        json_out if len(tasks) == 1 else json_out.with_stem(f"{json_out.stem}-{i}") for i in range(1, len(tasks) + 1)
    ]
    command = shlex.join(["saywhere", *sys.argv[1:]])
    labels = read_text(seen, "--seen").splitlines() if seen else None
    results = []
    with Progress(console=errors, disable=not errors.is_terminal) as progress:
        for task, out in zip(tasks, outs, strict=True):
            bar = progress.add_task(f"{task.method or 'saywhere'} on {task.data}", total=None)
            advance = partial(advance_bar, progress, bar)
            if isinstance(task, SequenceTask):
                results.append(bench_sequences(task, out, jobs, advance, command, engine))
            else:
                results.append(run.bench(task, out, jobs, advance, command, engine, labels))
    console.print(pages.sequence_table(results) if sequence else pages.table(results))
    if report and sequence:
        console.print(f"report → {pages.write_curves(report, results)}", highlight=False)
        return
    if report:
        plain = [task for task in tasks if isinstance(task, run.Task)]
        written = pages.report_of(report, plain, outs, results)
        console.print(f"report → {written}", highlight=False)
