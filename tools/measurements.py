"""Write docs/measurements.md, and the figures of the README, from the runs in research/figures.

    python tools/measurements.py                      # write both
    python tools/measurements.py --add grabcut.json   # keep what `saywhere bench --json` wrote, then write both
    python tools/measurements.py --printed speed.txt --command "python benchmarks/timing.py" --section Speed \\
      --machine "two cores of ..."                    # keep what another program printed
    python tools/measurements.py --reproduced runs/reproduce-textclick    # keep the tables of `saywhere reproduce`

``research/figures/NAME.json`` is what ``saywhere bench --json NAME.json`` wrote, of the weights that ship;
``tables.json`` has what other programs printed, and tables that were measured before runs were kept;
``reproduced/NAME.md`` has tables of a paper. Tests fail where a document differs from what this writes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from saywhere.errors import SaywhereError
from saywhere.evaluation.interactions import compare_interactions

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "research" / "figures"
WEIGHTS = {
    "small": ROOT / "src" / "saywhere" / "weights" / "saywhere.safetensors",
    "large": ROOT / "packages" / "large" / "src" / "saywhere_large" / "saywhere-large.safetensors",
}
PAGE, README = ROOT / "docs" / "measurements.md", ROOT / "README.md"
BEGIN, END = "<!-- figures: python tools/measurements.py -->", "<!-- end of figures -->"
KEPT_DIGITS = 5  # of IoUs in a run that is added
NAMES = {
    "grabcut": "GrabCut", "ecssd": "ECSSD", "leeds-butterfly": "Leeds Butterfly", "photos-7k:val": "photos-7k:val",
    "photos-hires:val": "photos-hires:val",
}  # fmt: skip
PROMPTS = (
    "grabcut", "grabcut-drag", "grabcut-tap", "grabcut-uniform", "grabcut-rim", "grabcut-later", "grabcut-first",
    "ecssd", "leeds", "val", "val-box", "hires",
)  # fmt: skip
LARGE = tuple(f"large-{name}" for name in PROMPTS)
IN_README = (
    "grabcut", "large-grabcut", "grabcut-drag", "large-grabcut-drag", "grabcut-uniform", "grabcut-later", "ecssd",
    "large-ecssd", "leeds", "val", "large-val", "hires",
)  # fmt: skip
TAP = {
    "tap": "first click near the centre", "tap-50": "first click within 50 pixels of the centre",
    "uniform": "first click anywhere on the object", "rim": "first click near the rim",
}  # fmt: skip
PHRASE = {
    "later": "click, phrase (counted), clicks",
    "own": "click, phrase (counted), clicks",
    "first": "phrase (counted), clicks",
}
INTRODUCTION = """<!-- Written by python tools/measurements.py from research/figures; do not edit. -->
# Measurements

Figures of the weights that ship (digest `{digest}`), each with the command that makes it. The protocol is in
[Benchmark](benchmark.md). NoC@90 is the mean number of interactions to an IoU of 0.90 (20 where it is never reached),
mIoU@1 the mean IoU after the first. Intervals are 95 % bootstrap intervals over objects. Main figures are of the
candidate mask that the predicted IoU chooses; *best* is the best of the three, if it were known. Test sets (GrabCut,
ECSSD, Leeds Butterfly) chose nothing; settings were chosen on photos-7k:val, duts:val and photos-hires:val.

¹: transcribed from the documents of the time when these weights were first measured, because the run's JSON was not
kept. ²: measured with the weights before. All others are computed from the files in `research/figures`. Figures of
earlier weights, and of ideas that were tried, are in [research](../research/README.md).
"""
NOTES = {
    "Preset large": "The weights of the package saywhere-large (digest `{digest}`), on the same code.",
    "GrabCut": "A phrase costs an interaction and saves none. A drag saves interactions when it counts as one, as in "
    "DCT-Net, and costs some when press and release count as two.",
    "Phrases at equal numbers of interactions": "**At an equal number of interactions a phrase is today no gain but a "
    "loss; even where it chooses between several labelled objects under the same click it does no better than a second "
    "click would.** On top of one click (phrase free) it raises the IoU of ambiguous objects.",
    "Sequences": "Objects of a label one after another; a proposal that lies on the object costs nothing.",
    "By kind of object": "Half of the objects of photos-7k:val are parts of others (garments, car parts), for which a "
    "single click does not ask.",
    "All instances": "Labels with at least three labelled objects in a photograph, the label as the phrase. An object "
    "that is not labelled in the data counts as wrong. Half 1 chose nothing; the score was chosen on half 0.",
    "Expected IoU": "`Mask.score` against the true IoU. After one click it says too much.",
    "Exported files": "Files of `saywhere export onnx`, which answer a Segmenter in the library's place, on GrabCut by "
    "click, with two threads. `Encode` is one crop (with `large` also the transformer, once an image); a first click "
    "is an encoding and a click. The browser is Chromium on WebAssembly with two threads, which also makes the crops "
    "and the mask of the photograph's size.",
    "In SAM's layout": "Files of `saywhere export sam2 OUT`: times with two threads, graph optimisation off in the "
    "decoder, as darktable runs them; and darktable's own evaluator, from a checkout of darktable-ai, at most 20 "
    "clicks, on 60 objects of each of our validation sets, which chose the two resolutions and the click from which "
    "the higher one is used (`python tools/davis_folder.py duts:val --limit 60 --out davis-duts`). Before unclicked "
    "components were removed and later clicks were answered at a higher resolution (code of commit `0f05afb2`), "
    "`small` had NoC@90 6.47 on duts:val, 8.87 on photos-7k:val and 7.07 on photos-hires:val.",
    "Pre-labelling": "Images of duts:val, one box each, `saywhere prelabel` with one thread a worker.",
    "Training": "Images a second; each process has one thread.",
    "Large COCO files": "A generated file of the size of COCO's train2017.",
    "Fine-tuning": "50 objects are given to `saywhere finetune`, which holds a quarter of their images out; before and "
    "after are measured on other objects. Four minutes of training on two cores. On the 12 and 11 objects that it held "
    "out, the command itself called both runs better on average, but within chance.",
    "Small weights of the published networks": "In the package saywhere-papers. They are young: short trainings of "
    "small backbones on one core, to show which of the papers' comparisons hold.",
}


REPRODUCED = """## Tables of the papers, made again

By `saywhere reproduce`, at a small scale. Values have 95 % bootstrap intervals over objects and the number of objects;
beside them stand the difference from the row that they are compared with, paired over objects, and the published value.
A comparison that the paper makes is confirmed or refuted where the interval of the difference leaves zero out, else it
is within chance.
"""


def load() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Runs by name; tables and printed lines."""
    paths = [path for path in sorted(RUNS.glob("*.json")) if path.name != "tables.json"]
    return {path.stem: json.loads(path.read_text()) for path in paths}, json.loads((RUNS / "tables.json").read_text())


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return (
        "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]).replace("|  |", "| |").replace("|  |", "| |")
        + "\n"
    )


def code(lines: Iterable[str], language: str = "sh") -> str:
    return f"```{language}\n" + "\n".join(lines) + "\n```\n"


def number(run: dict[str, Any], name: str, digits: int) -> str:
    """A figure with its interval, or nothing."""
    if run.get(name) is None or (name.startswith("noc") and run.get("most_interactions", 20) < 20):
        return ""
    text = f"{run[name]:.{digits}f}"
    if interval := run.get(f"{name}_interval"):
        text += f" ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})"
    return text


def prompt(run: dict[str, Any]) -> str:
    """What the robot user did, in words."""
    if run.get("phrase"):
        return PHRASE[run["phrase"]]
    if run.get("box"):
        return "box alone"
    if run["interaction"] == "drag":
        return "drag"
    return TAP.get(run.get("clicks_like", "centre"), "click")


def mark(run: dict[str, Any]) -> str:
    """Which footnote a run has."""
    if "transcribed" in run:
        return "¹"
    return "" if run.get("weights", digest()) in (digest(), digest("large")) else "²"


def digest(preset: str = "small") -> str | None:
    """SHA-256 of the weights of a preset; None where they do not ship."""
    path = WEIGHTS[preset]
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def figures(runs: dict[str, dict[str, Any]], names: Sequence[str]) -> Iterable[list[str]]:
    for name in names:
        if run := runs.get(name):
            best = run.get("best_candidate_miou1")
            start = [NAMES[run["data"]] + mark(run), prompt(run), f"{run['objects']:,}"]
            numbers = [number(run, "noc85", 2).split(" ")[0], number(run, "noc90", 2), number(run, "miou1", 3)]
            yield [*start, *numbers, "" if best is None else f"{best:.3f}"]


def countings(a: dict[str, Any], b: dict[str, Any], groups: dict[str, list[str]] | None = None) -> str:
    """Two runs at equal numbers of interactions, under each counting."""
    rows = []
    for row in compare_interactions(a, b, groups, (1, 2, 3, 5)):
        one, digits = row.difference, 2 if row.difference.figure.startswith("NoC") else 3
        difference = f"{one.difference:+.{digits}f} ({one.low:+.{digits}f} to {one.high:+.{digits}f})"
        cells = [row.counting.name, one.group] if groups else [row.counting.name]
        rows.append([*cells, one.figure, f"{one.a:.{digits}f}", f"{one.b:.{digits}f}", difference])
    header = ["counting", "objects"] if groups else ["counting"]
    return table([*header, "figure", prompt(a), prompt(b), "difference"], rows)


def page() -> str:
    """The text of docs/measurements.md."""
    runs, kept = load()
    parts = [INTRODUCTION.format(digest=str(digest())[:16])]
    header = ["data", "prompt", "objects", "NoC@85", "NoC@90", "mIoU@1", "best, mIoU@1"]
    parts += [
        "## By prompt\n",
        table(header, figures(runs, PROMPTS)),
        code(runs[name]["command"] for name in PROMPTS if name in runs),
    ]
    if any(name in runs for name in LARGE):
        parts += [
            "## Preset large, by prompt\n",
            NOTES["Preset large"].format(digest=str(digest("large"))[:16]) + "\n",
            table(header, figures(runs, LARGE)),
            code(runs[name]["command"] for name in LARGE if name in runs),
        ]
    parts += ["## GrabCut\n", NOTES["GrabCut"] + "\n", *_grabcut(runs)]
    sequences = [runs[name] for name in ("leeds-sequence-base", "leeds-sequence") if name in runs]
    rows = [_sequence_row(run) for run in sequences]
    header = ["Leeds Butterfly, one label a species", "objects", "NoC@85", "NoC@90", "proposals on the object", "seeds"]
    parts += [
        "## Sequences\n",
        NOTES["Sequences"] + "\n",
        table(header, rows),
        code(run["command"] for run in sequences),
    ]
    for section in dict.fromkeys(each["section"] for each in (*kept["tables"], *kept["console"])):
        parts += [f"## {section}\n", *([NOTES[section] + "\n"] if section in NOTES else []), *_section(kept, section)]
    reproduced = sorted((RUNS / "reproduced").glob("*.md"))
    if reproduced:
        parts += [REPRODUCED, *(path.read_text() for path in reproduced)]
    return "\n".join(parts)


def _sequence_row(run: dict[str, Any]) -> list[str]:
    name = ("proposals and learning" if run["learn"] else "neither") + mark(run)
    figures = [f"{run['noc85']:.2f}", number(run, "noc90", 2), f"{run['proposed_right']:.3f}"]
    return [name, f"{run['objects']}", *figures, f"{run['seeds']}"]


def _grabcut(runs: dict[str, dict[str, Any]]) -> Iterable[str]:
    for name in ("grabcut-later", "grabcut-drag"):
        if "ious" in runs["grabcut"] and "ious" in runs.get(name, {}):
            yield countings(runs["grabcut"], runs[name])
            yield code([f"saywhere compare grabcut.json {name}.json --interactions"])


def _section(kept: dict[str, Any], section: str) -> Iterable[str]:
    for each in kept["tables"]:
        if each["section"] == section:
            yield f"{each['title']}{mark(each)}:\n"
            yield table(each["header"], each["rows"])
            yield code(each["commands"])
            if each["note"]:
                yield each["note"] + "\n"
    for each in kept["console"]:
        if each["section"] == section:
            if each["machine"]:
                yield each["machine"][0].upper() + each["machine"][1:] + mark(each) + ":\n"
            yield code([f"$ {each['command']}", *each["output"]], "")


def readme(text: str) -> str:
    """The README with its figures as of the runs: a table between two lines, and values between ``<!--=NAME-->``."""
    runs, kept = load()
    header = ["data", "prompt", "objects", "NoC@90", "mIoU@1"]
    rows = []
    for name in IN_README:
        preset = ", preset large" if name in LARGE else ""
        for data, what, objects, _, *numbers in figures(runs, [name]):
            rows.append([data.rstrip("¹²"), what + preset, objects, *(cell.split(" ")[0] for cell in numbers[:2])])
    if BEGIN not in text or END not in text:
        raise SaywhereError(f"README: has no lines '{BEGIN}' and '{END}'; add them around its figures")
    block = f"{BEGIN}\n{table(header, rows)}{END}"
    text = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, text, flags=re.DOTALL)
    for name, value in inline(runs, kept).items():
        text, count = re.subn(f"(<!--={name}-->).*?(<!--/-->)", rf"\g<1>{value}\g<2>", text)
        if not count:
            raise SaywhereError(
                f"README: does not show '{name}'; add <!--={name}--><!--/-->, or remove it from inline()"
            )
    return text


def inline(runs: dict[str, dict[str, Any]], kept: dict[str, Any]) -> dict[str, str]:
    """Figures in the README's sentences and tables, by name."""
    (timing,) = (each for each in kept["console"] if each["command"] == "python benchmarks/timing.py")
    match = re.search(r"^first mask +([\d.]+) ms", "\n".join(timing["output"]), re.MULTILINE)
    assert match is not None, f"the lines of '{timing['command']}' have no time of a first mask"
    milliseconds = float(match[1])
    return {
        "leeds-base": f"{runs['leeds-sequence-base']['noc90']:.2f}",
        "leeds-sequence": f"{runs['leeds-sequence']['noc90']:.2f}",
        "first-mask": f"{milliseconds / 1000:.3f} s",
        "noc90": f"{runs['grabcut']['noc90']:.2f}",
        "val": f"{runs['val']['miou1']:.2f}",
    }


def add(path: Path) -> None:
    """Keep a run, with IoUs rounded; a run of other weights is refused."""
    run = json.loads(path.read_text())
    if run.get("weights") not in (digest(), digest("large")):
        raise SaywhereError(f"run '{path}': is not of the weights that ship; only such runs are kept")
    run["ious"] = {name: [round(iou, KEPT_DIGITS) for iou in ious] for name, ious in run["ious"].items()}
    run.pop("classes", None)
    (RUNS / path.name).write_text(json.dumps(run, separators=(",", ":")) + "\n")


def keep_printed(path: Path, command: str, section: str, machine: str) -> None:
    """Keep what a program printed, in the place of what the same command printed before in that section."""
    kept = json.loads((RUNS / "tables.json").read_text())
    lines = [line.rstrip() for line in path.read_text().splitlines()]
    entry = {"section": section, "command": command, "output": lines, "machine": machine}
    same = [i for i, each in enumerate(kept["console"]) if (each["section"], each["command"]) == (section, command)]
    if same:
        kept["console"][same[0]] = entry
    else:
        kept["console"].append(entry)
    (RUNS / "tables.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False))


def keep_reproduced(folder: Path) -> None:
    """Keep the tables of a run of ``saywhere reproduce``, with its command."""
    made = json.loads((folder / "table.json").read_text())
    command = re.sub(r" --out \S+", "", made["command"])
    text = (folder / "table.md").read_text()
    tables = text[text.index("\n## ") + 1 :].replace("\n## ", "\n#### ").removeprefix("## ")
    path = RUNS / "reproduced" / f"{command.split()[2]}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"### {made['paper']}\n\n{code([command])}\n#### {tables}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", type=Path, action="append", default=[], help="a run's JSON to keep")
    parser.add_argument("--printed", type=Path, help="a file with what a program printed, to keep")
    parser.add_argument("--reproduced", type=Path, help="the folder of a run of saywhere reproduce, to keep its tables")
    for name in ("command", "section", "machine"):
        parser.add_argument(f"--{name}", default="", help=f"of --printed: its {name}")
    options = parser.parse_args()
    for path in options.add:
        add(path)
    if options.printed:
        keep_printed(options.printed, options.command, options.section, options.machine)
    if options.reproduced:
        keep_reproduced(options.reproduced)
    PAGE.write_text(page())
    README.write_text(readme(README.read_text()))


if __name__ == "__main__":
    main()
