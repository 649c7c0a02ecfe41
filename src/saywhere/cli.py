"""The command line: ``saywhere <verb>``. Each verb reads its options and calls the library."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Column, Table

from saywhere.benchmark.phrases import Saying
from saywhere.engines import Engine
from saywhere.errors import PhraseError, SaywhereError, needing
from saywhere.mask import Mask
from saywhere.prompt import Click
from saywhere.segmenter import Segmenter, Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Say what, click where, get the object.",
)  # fmt: skip
console = Console(emoji=False)
errors = Console(stderr=True, emoji=False)
SHOWN = 20  # notes of a conversion
EXAMPLE = {2: "120,80", 3: "120,80,40"}


def numbers(text: str, count: int, option: str) -> list[float]:
    """``"12,34"`` to two numbers; SaywhereError says what the option wants."""
    form = ",".join(("X", "Y", "RADIUS")[:count])
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise SaywhereError(f"{option} {text!r}: give {form} in pixels, for example {option} {EXAMPLE[count]}")
    return values


def seconds(text: str) -> float:
    """``"90s"``, ``"25m"`` or ``"2h"`` to seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not match:
        raise SaywhereError(f"--time-limit {text!r}: give a number and s, m or h, for example 25m")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def read_text(path: Path, option: str) -> str:
    """A text file that an option names; SaywhereError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise SaywhereError(f"{option} '{path}': cannot be read ({error})") from error


@app.command()
def segment(
    photo: Annotated[Path, typer.Argument(help="the photograph")],
    click: Annotated[list[str] | None, typer.Option(metavar="X,Y", help="a point on the object")] = None,
    drag: Annotated[list[str] | None, typer.Option(metavar="X,Y,RADIUS", help="a point and how far it reaches")] = None,
    not_: Annotated[list[str] | None, typer.Option("--not", metavar="X,Y", help="a point off the object")] = None,
    say: Annotated[str | None, typer.Option(metavar="TEXT", help="what the object is; no click is needed then")] = None,
    out: Annotated[Path | None, typer.Option(help="the mask as PNG, 255 on the object")] = None,
    overlay: Annotated[Path | None, typer.Option(help="the photograph with mask and clicks drawn")] = None,
    heat: Annotated[Path | None, typer.Option(help="the photograph with where the phrase applies")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the mask as COCO run lengths, with its score")] = False,
    weights: Annotated[str | None, typer.Option(help="file, hub id or shipped name")] = None,
) -> None:
    """Cut one object out of a photograph: clicks, then drags, then points that are off it, then the phrase."""
    from saywhere import loading, render
    from saywhere.images import read_image

    clicks = [Click(x, y) for x, y in (numbers(text, 2, "--click") for text in click or [])]
    clicks += [Click(x, y, True, radius) for x, y, radius in (numbers(text, 3, "--drag") for text in drag or [])]
    clicks += [Click(x, y, False) for x, y in (numbers(text, 2, "--not") for text in not_ or [])]
    if not clicks and say is None:
        raise SaywhereError("no prompt: say where or what the object is, for example --click 120,80 or --say dog")
    if heat and say is None:
        raise SaywhereError(f"--heat '{heat}': shows where a phrase applies; add --say")
    pixels = read_image(photo)
    segmenter = loading.load(weights).set_image(pixels)
    mask = None
    for one in clicks:
        mask = segmenter.add(one)
    if say is not None:
        mask = say_or_warn(segmenter, say, mask)
        if heat and segmenter.prompt.phrase:
            render.write_image(heat, render.heat_map(pixels, segmenter.heat(say)))
    assert mask is not None, "there is a click or a phrase"
    if not (out or overlay or as_json):
        out = Path(f"{photo.stem}-mask.png")
    if out:
        render.write_image(out, render.mask_image(mask))
    if overlay:
        render.write_image(overlay, render.overlay(pixels, mask, segmenter.prompt))
    if as_json:
        print(json.dumps({"photo": str(photo), **render.as_coco(mask), "weights": segmenter.runner.digest}))
    else:
        named = ", ".join(str(path) for path in (out, overlay) if path)
        console.print(f"{int(mask.array.sum()):,} pixels, expected IoU {mask.score:.2f} → {named}", highlight=False)


def say_or_warn(segmenter: Segmenter, phrase: str, mask: Mask | None) -> Mask | None:
    """The answer with a phrase; a phrase that is of no use does not cost the answer that the clicks have."""
    try:
        answer = segmenter.say(phrase)
    except PhraseError as error:
        if mask is None:
            raise
        errors.print(f"saywhere: {error}; answered by the clicks alone", style="yellow", highlight=False, markup=False)
        return mask
    if not segmenter.fits(phrase):
        told = "be there; click on it if it is" if mask is None else "fit the clicks; answered by the clicks alone"
        errors.print(f"saywhere: {phrase!r} does not seem to {told}", style="yellow", markup=False)
    return answer


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="a YAML recipe, see recipes/")],
    out: Annotated[Path | None, typer.Option(help="folder of the run; runs/RECIPE if not given")] = None,
    time_limit: Annotated[str | None, typer.Option(metavar="25m", help="stretch the schedule over this time")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the last checkpoint")] = False,
) -> None:
    """Train a network; can be killed at any moment and resumed."""
    from saywhere.benchmark.validate import validator
    from saywhere.training.recipe import read_recipe

    with needing("train", "train"):
        from saywhere.training.loop import train as run

    checked = read_recipe(recipe)
    limit = seconds(time_limit) if time_limit else None
    validate = validator(checked.validation.data, checked.validation.limit) if checked.validation else None
    written = run(checked, out or Path("runs") / recipe.stem, limit, resume, validate, console)
    console.print(f"weights → {written}", highlight=False)


@app.command()
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
        Saying | None, typer.Option(help="the robot says the object's own phrase after its first click; or so")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only this many objects, spread evenly")] = None,
    size: Annotated[int, typer.Option(min=32, help="longer side of the first look")] = Settings.size,
    zoom_size: Annotated[int, typer.Option(min=32, help="longer side of the closer look")] = Settings.zoom_size,
    zoom: Annotated[bool, typer.Option("--zoom/--no-zoom", help="look closer at the object")] = True,
    refine: Annotated[str | None, typer.Option(help="graph-cut: smooth every mask with it, for people's eyes")] = None,
    strays: Annotated[
        float, typer.Option(min=0, help="0: keep pieces of a mask that no click is on")
    ] = Settings.strays,
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
    from saywhere.benchmark import pages, run
    from saywhere.benchmark.sequences import SequenceTask, bench_sequences
    from saywhere.sequence import PUBLISHED, Options

    if not sequence and (one_label or label):
        raise SaywhereError("--one-label, --label: only with --sequence")
    if sequence and (drag or seen or phrase not in (None, Saying.OWN)):
        raise SaywhereError("--sequence: goes by clicks, with no phrase or --phrase own; leave --drag and --seen out")
    if report:
        pages.check_installed()
    settings = Settings(size=size, zoom_size=zoom_size, zoom=zoom, refine=refine, strays=strays, flip=flip)
    methods: list[str | None] = [*model] if model else [None]
    options = replace(PUBLISHED if published else Options(), propose=icp, learn=opo, interval=interval)
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
            advance = partial(_advance, progress, bar)
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


def _advance(progress: Progress, bar: TaskID, done: int, total: int) -> None:
    progress.update(bar, completed=done, total=total)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="figures of saywhere bench --json")],
    b: Annotated[Path, typer.Argument(help="figures of another run on the same objects")],
) -> None:
    """Whether B is better than A: paired differences over objects with 95 % bootstrap intervals."""
    from saywhere.benchmark import compare as comparing

    table = Table("figure", "A", "B", "B - A", "95 % interval", "")
    for row in comparing.compare(comparing.read_figures(a), comparing.read_figures(b)):
        verdict = "differs" if row.certain else "may be chance"
        table.add_row(
            row.figure,
            f"{row.a:.3f}",
            f"{row.b:.3f}",
            f"{row.difference:+.3f}",
            f"{row.low:+.3f} to {row.high:+.3f}",
            verdict,
        )
    console.print(table)


@app.command()
def prelabel(
    source: Annotated[Path, typer.Argument(help="a COCO JSON file, or a folder of photographs")],
    out: Annotated[Path, typer.Option(help="COCO JSON of what was found; answers go beside it, as .jsonl")],
    points: Annotated[
        Path | None, typer.Option(help="for a folder: CSV with file,x,y[,label,radius,object,category]")
    ] = None,
    say: Annotated[str | None, typer.Option(metavar="TEXT", help="a phrase for every object or photograph")] = None,
    photos: Annotated[Path | None, typer.Option(help="where a COCO file's photographs lie, when not beside it")] = None,
    model: Annotated[str | None, typer.Option(help="as for bench")] = None,
    threads: Annotated[int, typer.Option(min=1, help="processor threads of the network")] = 2,
    jobs: Annotated[int, typer.Option(min=1, help="processes of the local engine")] = 1,
    engine: Annotated[Engine, typer.Option(help="this machine, or a Ray cluster (see RAY_ADDRESS)")] = Engine.LOCAL,
) -> None:
    """Segment a whole folder of photographs, or a COCO file, from boxes, points or a phrase.

    The same command given again goes on where a killed one stopped.
    """
    from saywhere.prelabel import prelabel as find_all
    from saywhere.prelabel import read_request

    if out.resolve() == source.resolve():
        raise SaywhereError(f"--out '{out}': is the source itself; write elsewhere")
    request = read_request(source, points, say, photos)
    if request.faults:
        list_faults(request.faults)
        raise SaywhereError(f"source '{source}': {len(request.faults):,} faults, listed above; mend them first")
    with Progress(console=errors, disable=not errors.is_terminal) as progress:
        advance = partial(_advance, progress, progress.add_task("objects", total=None))
        outcome = find_all(request, out, model, None, engine, jobs, threads, advance)
    of = f" of {request.objects:,}" if outcome.faults else ""
    found = f"{outcome.objects:,}{of} objects in {len(request.photos):,} photographs → {out}"
    nothing = f"; {request.unasked:,} photographs of which nothing was asked" if request.unasked else ""
    console.print(found + nothing, highlight=False)
    if outcome.faults:
        list_faults(outcome.faults)
        raise SaywhereError(f"{len(outcome.faults):,} photographs not done, listed above; mend them and run again")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="a COCO JSON file, or a folder in another format")],
    dest: Annotated[Path, typer.Argument(help="what to write: a .json file for coco, else a new folder")],
    to: Annotated[str, typer.Option(help="coco, voc, yolo, labelme or png")],
    from_: Annotated[str | None, typer.Option("--from", help="the source's format, if it cannot be told")] = None,
    photos: Annotated[
        Path | None, typer.Option(help="where the photographs lie, when not in their usual place")
    ] = None,
    polygons: Annotated[bool, typer.Option("--polygons", help="coco, labelme: outlines instead of masks")] = False,
    copy: Annotated[bool, typer.Option("--copy/--no-copy", help="voc, yolo, labelme: photographs too")] = True,
    labels: Annotated[Path | None, typer.Option(help="labels, one a line, in the order to number them")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print counts, notes and faults as JSON")] = False,
) -> None:
    """Annotations from one format to another; says what the other cannot hold."""
    from saywhere import formats

    listed = [line for line in read_text(labels, "--labels").splitlines() if line.strip()] if labels else []
    how = formats.How(polygons, copy, listed)
    try:
        with Progress(console=errors, disable=not errors.is_terminal) as progress:
            advance = partial(_advance, progress, progress.add_task("photographs", total=None))
            outcome = formats.convert(source, dest, to, from_, photos, how, advance)
    except formats.FaultsError as error:
        if as_json:
            print(json.dumps({"faults": error.faults}))
        else:
            list_faults(error.faults)
        count = len(error.faults)
        raise SaywhereError(f"source '{source}': {count:,} faults, listed above; nothing was written") from error
    if as_json:
        print(json.dumps({"dest": str(dest), **vars(outcome)}))
        return
    list_faults(outcome.notes[:SHOWN])
    if len(outcome.notes) > SHOWN:
        list_faults([f"... and {len(outcome.notes) - SHOWN:,} notes more; --json has them all"])
    console.print(f"{outcome.objects:,} objects in {outcome.photos:,} photographs → {dest}", highlight=False)


def list_faults(faults: list[str]) -> None:
    """Print faults, a line each."""
    for fault in faults:
        console.print(fault, highlight=False, markup=False, soft_wrap=True)


@app.command()
def annotate(
    folder: Annotated[Path, typer.Argument(help="a folder of photographs")],
    label: Annotated[list[str] | None, typer.Option(help="a label to begin with; more are made in the page")] = None,
    host: Annotated[str, typer.Option(help="another address than this machine's own asks for a token")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free")] = 8765,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="PostgreSQL or another SQLite file than FOLDER/.saywhere")
    ] = None,
    model: Annotated[str | None, typer.Option(help="as for bench")] = None,
    study: Annotated[str | None, typer.Option(help="click, phraseclick or drag: only these, to compare people")] = None,
    threads: Annotated[int, typer.Option(min=1, help="processor threads of the network")] = 2,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="open the page")] = True,
) -> None:
    """Annotate photographs in the browser; everything is kept as it is done."""
    with needing("annotate", "annotate"):
        from saywhere.annotate.server import Options, serve
    options = Options(folder, host, port, database, model, tuple(label or ()), study, threads, browser)
    serve(options, lambda line: errors.print(line, highlight=False, markup=False, soft_wrap=True))


@app.command()
def data(
    name: Annotated[str | None, typer.Argument(help="a known data set, or a COCO JSON file: check its files")] = None,
) -> None:
    """Data sets: where they are obtained, under which terms, which are here; or what is wrong with one."""
    from rich.progress import track

    from saywhere.datasets import DATASETS, load_dataset
    from saywhere.datasets.check import check, found

    if name is None:
        table = Table("name", "published", "on this machine", "licence", Column("obtained", overflow="fold"))
        for known in DATASETS.values():
            count = f"{known.objects:,} objects" if known.objects else ""
            table.add_row(known.name, count, found(known), known.licence, known.obtained)
        console.print(table)
        return
    samples = load_dataset(name)
    faults = check(track(samples, "checking", console=errors, disable=not errors.is_terminal))
    list_faults(faults)
    if faults:
        raise SaywhereError(f"data '{name}': {len(faults):,} faults, listed above; mend or remove these files first")
    published = DATASETS[name].objects if name in DATASETS else None
    beside = f" of {published:,} published" if published else ""
    console.print(f"{name}: {len(samples):,} objects{beside}, nothing wrong", highlight=False)


@app.command()
def models() -> None:
    """The networks that can be trained, and the weights that came along."""
    from saywhere.loading import shipped
    from saywhere.models import MODELS, build
    from saywhere.models.store import read_tensors

    networks = Table("network", "parameters", title="networks")
    for name in MODELS:
        try:
            count = sum(p.numel() for p in build(name, {}).parameters())
        except SaywhereError as error:  # the papers' networks need more than a plain installation has
            networks.add_row(name, escape(str(error)))
        else:
            networks.add_row(name, f"{count / 1e6:.2f} M")
    console.print(networks)
    table = Table("name", "network", "MB", "steps", "trained on", title="weights")
    for name, path in shipped().items():
        _, facts = read_tensors(path)
        size = path.stat().st_size / 1e6
        table.add_row(name, facts["model"], f"{size:.1f}", f"{facts['step']:,}", ", ".join(facts["data"]))
    console.print(table)


@app.command()
def doctor() -> None:
    """What is installed, which device is used and why, where weights and data were found."""
    from saywhere.doctor import findings

    for name, finding in findings():
        console.print(f"[bold]{name:14}[/bold] {finding}", highlight=False)


def main() -> None:
    """Run the command line; a user's error is one line and code 2."""
    try:
        app()
    except SaywhereError as error:
        errors.print(f"saywhere: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
