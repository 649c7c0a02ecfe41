"""``saywhere bench``: Measure methods with a robot user."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.progress import Progress

from saywhere.cli.common import advance_bar, console, errors, print_table, read_text
from saywhere.core.robot import ClickPlace
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.evaluation.phrases import PhraseMode
from saywhere.parallel.local import Engine
from saywhere.parallel.resumable import Execution
from saywhere.parallel.resumable import Progress as Advance

if TYPE_CHECKING:
    from saywhere.evaluation.benchmark import Task
    from saywhere.evaluation.sequences import SequenceTask

AnyTask = TypeVar("AnyTask", "Task", "SequenceTask")
Measured = TypeVar("Measured")


def bench(
    data: Annotated[list[str], typer.Option(help="a known data set, or a COCO JSON file beside its images")],
    json_out: Annotated[
        Path, typer.Option("--json", help="where the figures go; interactions go beside it, as .jsonl")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="weights (see saywhere models; a file, a hub id), a classical method, sam:ENCODER.onnx,DECODER.onnx, "
            "ritm:CHECKPOINT.pth@CLONE, module:factory"
        ),
    ] = None,
    clicks: Annotated[int, typer.Option(min=1, help="maximum number of interactions")] = 20,
    drag: Annotated[bool, typer.Option("--drag", help="the robot drags each click to the region's boundary")] = False,
    phrase: Annotated[
        PhraseMode | None,
        typer.Option(
            help="later or own: the object's phrase after the first click; first: before it; shuffled, shuffled-first: "
            "another object's; wrong: something that the image does not show; described: with idle words"
        ),
    ] = None,
    clicks_like: Annotated[
        ClickPlace,
        typer.Option(help="first click: centre (the protocol), tap near it, uniform on the object, near its rim"),
    ] = "centre",
    box: Annotated[bool, typer.Option("--box", help="the first interaction is the object's bounding box")] = False,
    box_jitter: Annotated[
        float, typer.Option(min=0, max=0.2, help="--box: how far its edges are off, over the object's width or height")
    ] = 0.0,
    step_candidates: Annotated[
        bool, typer.Option("--step-candidates", help="the robot may choose another candidate mask, as an interaction")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="only this many objects, evenly spread")] = None,
    size: Annotated[
        int | None, typer.Option(help="longer side of the first crop, the whole image; else as trained, or 320")
    ] = None,
    zoom_size: Annotated[
        int | None, typer.Option(help="longer side of a zoom-in crop; else as trained, or 384")
    ] = None,
    later_zoom_size: Annotated[
        int | None, typer.Option(help="the same once the network sees the previous mask; else --zoom-size, or 512")
    ] = None,
    zoom: Annotated[
        bool | None, typer.Option("--zoom/--no-zoom", help="zoom in on the object; else as trained")
    ] = None,
    refine: Annotated[str | None, typer.Option(help="graph-cut: refine every mask with it")] = None,
    unclicked_components: Annotated[
        float, typer.Option(min=0, help="0: keep components of a mask that have no click")
    ] = Settings.unclicked_components,
    keep_clicked: Annotated[
        bool, typer.Option(help="a further positive click never takes away what the mask had")
    ] = Settings.keep_clicked,
    candidate_choice: Annotated[
        str, typer.Option(help="where the predicted IoU chooses among candidate masks: in every crop, or the first")
    ] = Settings.candidate_choice,
    flip: Annotated[bool, typer.Option("--flip", help="average with the mirrored image: twice the time")] = False,
    threads: Annotated[int, typer.Option(min=1, help="processor threads of the network")] = 2,
    jobs: Annotated[int, typer.Option(min=1, help="processes of the local engine")] = 1,
    engine: Annotated[Engine, typer.Option(help="this machine, or a Ray cluster (see RAY_ADDRESS)")] = Engine.LOCAL,
    seen: Annotated[Path | None, typer.Option(help="labels that were trained on, one a line")] = None,
    report: Annotated[Path | None, typer.Option(help="folder of a page with table, curves and gallery")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="print Markdown rows, with intervals")] = False,
    sequence: Annotated[
        bool, typer.Option("--sequence", help="objects of a label one after another, with proposals and learning")
    ] = False,
    one_label: Annotated[bool, typer.Option("--one-label", help="sequence: one for all labels together")] = False,
    label: Annotated[list[str] | None, typer.Option(help="sequence: only these labels")] = None,
    icp: Annotated[bool, typer.Option(help="sequence: propose first clicks (initial click proposal)")] = True,
    opo: Annotated[bool, typer.Option(help="sequence: learn from accepted masks (online purification)")] = True,
    published: Annotated[
        bool, typer.Option("--published", help="sequence: all of the paper's settings, those of the Segmenter too")
    ] = False,
    interval: Annotated[int, typer.Option(min=1, help="sequence: object n uses what was learned to n - INTERVAL")] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="sequence: how often, each with a seed of its own")] = 1,
    target_iou: Annotated[int, typer.Option(min=1, max=99, help="sequence: accept masks of this IoU, in percent")] = 90,
) -> None:
    """Measure methods on data sets with the robot user; writes every figure and what could change it.

    Several --model or --data make one run each; their files are numbered.
    """
    from saywhere.evaluation import report as pages
    from saywhere.evaluation.benchmark import Task
    from saywhere.evaluation.sequences import SequenceTask
    from saywhere.interactive.sequence import PUBLISHED, PUBLISHED_SETTINGS, SequenceOptions

    if published and not sequence:
        raise SaywhereError("--published: only with --sequence")
    if not sequence and (one_label or label):
        raise SaywhereError("--one-label, --label: only with --sequence")
    if sequence and (drag or seen or phrase not in (None, PhraseMode.OWN)):
        raise SaywhereError("--sequence: goes by clicks, with no phrase or --phrase own; leave --drag and --seen out")
    if sequence and (clicks_like != "centre" or box or step_candidates):
        raise SaywhereError("--sequence: leave --clicks-like, --box and --step-candidates out")
    _check_first(clicks_like, box, box_jitter, phrase)
    if report:
        pages.check_installed()
    settings = Settings(
        size=size,
        zoom_size=zoom_size,
        later_zoom_size=later_zoom_size,
        zoom=zoom,
        refine=refine,
        unclicked_components=unclicked_components,
        flip=flip,
        keep_clicked=keep_clicked,
        candidate_choice=candidate_choice,
    )
    if published:
        settings = PUBLISHED_SETTINGS
    execution = Execution(engine, jobs)
    methods: Sequence[str | None] = model or [None]
    runs = [(method, dataset) for dataset in data for method in methods]
    if sequence:
        options = replace(PUBLISHED if published else SequenceOptions(), propose=icp, learn=opo, interval=interval)
        _bench_sequences(
            [
                SequenceTask(
                    method, dataset, settings, options, one_label, seeds, target_iou / 100, clicks, limit,
                    threads, phrase is not None, tuple(label or ()),
                )
                for method, dataset in runs
            ],
            json_out, execution, report, markdown,
        )  # fmt: skip
    else:
        labels = read_text(seen, "--seen").splitlines() if seen else None
        tasks = [
            Task(
                method, dataset, settings, clicks, drag, limit, threads, phrase,
                first_click=clicks_like, box=box, box_jitter=box_jitter, step_candidates=step_candidates,
            )
            for method, dataset in runs
        ]  # fmt: skip
        _bench_objects(tasks, json_out, execution, report, markdown, labels)


def _check_first(clicks_like: ClickPlace, box: bool, box_jitter: float, phrase: PhraseMode | None) -> None:
    """Check that one thing alone is to be the first interaction.

    Raises:
        SaywhereError: several are, or a box that is not there is to be changed.
    """
    if box_jitter and not box:
        raise SaywhereError("--box-jitter: only with --box")
    first = [f"--clicks-like {clicks_like}"] if clicks_like != "centre" else []
    first += ["--box"] if box else []
    first += [f"--phrase {phrase}"] if phrase is not None and phrase.at == 0 else []
    if len(first) > 1:
        raise SaywhereError(f"{' and '.join(first)}: each of them is the first interaction; give one")


def _bench_objects(
    tasks: Sequence[Task],
    json_out: Path,
    execution: Execution,
    report: Path | None,
    markdown: bool,
    seen: list[str] | None,
) -> None:
    """Measure single objects, and show the figures."""
    from saywhere.evaluation import report as pages
    from saywhere.evaluation.benchmark import measure

    measurements = _measure_all(
        tasks, json_out, lambda task, out, advance: measure(task, out, execution, advance, command_line(), seen)
    )
    figures = [measurement.figures for measurement in measurements]
    for task, run in zip(tasks, figures, strict=True):
        if run["most_interactions"] < task.max_interactions:
            errors.print(
                f"saywhere: model '{run['model']}' takes {run['clicks_taken']}; the robot user stops after "
                f"{run['most_interactions']} of {task.max_interactions} interactions",
                style="yellow", highlight=False, soft_wrap=True,
            )  # fmt: skip
    if markdown:
        print_table(pages.summary_header(True), [pages.summary_row(run, True) for run in figures], True)
    else:
        print_table(*pages.table(figures))
    if report:
        console.print(f"report → {pages.write_report(report, measurements)}", highlight=False, soft_wrap=True)


def _bench_sequences(
    tasks: Sequence[SequenceTask], json_out: Path, execution: Execution, report: Path | None, markdown: bool
) -> None:
    """Measure sequences, and show the figures."""
    from saywhere.evaluation import report as pages
    from saywhere.evaluation.sequences import bench_sequences

    results: list[dict[str, Any]] = _measure_all(
        tasks, json_out, lambda task, out, advance: bench_sequences(task, out, execution, advance, command_line())
    )
    print_table(*pages.sequence_table(results), markdown)
    if report:
        console.print(f"report → {pages.write_curves(report, results)}", highlight=False, soft_wrap=True)


def _measure_all(
    tasks: Sequence[AnyTask], json_out: Path, measure: Callable[[AnyTask, Path, Advance], Measured]
) -> list[Measured]:
    """Measure tasks one after another, with a progress bar for each; files of several tasks are numbered."""
    measured = []
    with Progress(console=errors, disable=not errors.is_terminal) as progress:
        for number, task in enumerate(tasks, 1):
            out = json_out if len(tasks) == 1 else json_out.with_stem(f"{json_out.stem}-{number}")
            bar = progress.add_task(escape(f"{task.method or 'saywhere'} on {task.data}"), total=None)
            measured.append(measure(task, out, partial(advance_bar, progress, bar)))
    return measured


def command_line() -> str:
    """The command as it was given, to be kept with the figures."""
    return shlex.join(["saywhere", *sys.argv[1:]])
