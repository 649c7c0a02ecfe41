"""``saywhere export``: write networks, and annotations of a project, for other programs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from saywhere.cli.common import console, list_faults
from saywhere.data.notes import group_notes
from saywhere.errors import SaywhereError, needing
from saywhere.storage.outputs import check_outputs

export = typer.Typer(no_args_is_help=True, help="Write networks for other runtimes, annotations for other programs.")
SHOWN = 20  # notes of an export


@export.callback()
def main() -> None:
    """Write networks for other runtimes, annotations for other programs."""


@export.command()
def graphs(
    weights: Annotated[Path, typer.Argument(help="a weights file of our network")],
    out: Annotated[Path | None, typer.Option(help="the archive; beside the weights if not given")] = None,
) -> None:
    """Write the ONNX graphs of a network, with which its weights run without torch."""
    from saywhere.runtime.artefact import SUFFIX

    with needing("torch", "export"):
        from saywhere.runtime.export import export_graphs

    check_outputs({"--out": out}, {"the weights": weights})
    written = export_graphs(weights, out or weights.with_name(weights.stem + SUFFIX))
    console.print(f"graphs → {written}", highlight=False, soft_wrap=True)


Weights = Annotated[str, typer.Option("--weights", "--preset", help="a preset, or a weights file of our network")]
Side = Annotated[
    int,
    typer.Option(
        help="pixels of an image's longer side for the network, a multiple of 32; a quarter more from click 4 on"
    ),
]


@export.command()
def onnx(
    out: Annotated[Path, typer.Argument(help="a folder")],
    weights: Weights = "small",
    fp16: Annotated[bool, typer.Option("--fp16", help="weights in half precision")] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="the largest weights in 8 bits, the others in half precision")
    ] = False,
) -> None:
    """Write our network with its weights as ONNX files for ONNX Runtime alone, and model.json about them."""
    if fp16 and int8:
        raise SaywhereError("--fp16 and --int8: give one of them")
    with needing("torch", "export"):
        from saywhere.runtime.export_onnx import write_onnx

    for path in write_onnx(weights, out, "fp16" if fp16 else "int8" if int8 else "fp32"):
        console.print(f"→ {path}", highlight=False, soft_wrap=True)


@export.command()
def sam(out: Annotated[Path, typer.Argument(help="a folder")], weights: Weights = "small", side: Side = 512) -> None:
    """Write an encoder and a decoder in the layout of SAM's exports, with a model.yaml for X-AnyLabeling."""
    _write_sam("sam", out, weights, side)


@export.command()
def sam2(out: Annotated[Path, typer.Argument(help="a folder")], weights: Weights = "small", side: Side = 512) -> None:
    """Write an encoder and a decoder in the layout of SAM 2's exports, with a model.yaml for X-AnyLabeling."""
    _write_sam("sam2", out, weights, side)


def _write_sam(layout: Literal["sam", "sam2"], out: Path, weights: str, side: int) -> None:
    from saywhere.runtime.weights import find_weights

    with needing("torch", "export"):
        from saywhere.runtime.export_sam import write_sam

    for path in write_sam(find_weights(weights), layout, out, side):
        console.print(f"→ {path}", highlight=False, soft_wrap=True)


@export.command()
def darktable(
    out: Annotated[Path, typer.Argument(help="NAME.dtmodel")], weights: Weights = "small", side: Side = 512
) -> None:
    """Write a model package for darktable's object masks."""
    from saywhere.runtime.weights import find_weights

    with needing("torch", "export"):
        from saywhere.runtime.export_sam import write_darktable

    if out.suffix != ".dtmodel":
        raise SaywhereError(f"'{out}': darktable's packages end in .dtmodel; give such a name")
    file = find_weights(weights)
    check_outputs({"OUT": out}, {"the weights": file})
    console.print(f"→ {write_darktable(file, out, side)}", highlight=False, soft_wrap=True)


@export.command()
def hub(
    out: Annotated[Path, typer.Argument(help="a folder")],
    weights: Annotated[str, typer.Option(help="a preset, a shipped name, a file or a folder")] = "small",
    upload: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="upload it to the Hugging Face hub too")
    ] = None,
) -> None:
    """Write weights, graphs, configuration and a model card as a folder that the Hugging Face hub and load take."""
    from saywhere.runtime.hub import push_to_hub, save_pretrained

    console.print(f"→ {save_pretrained(weights, out)}", highlight=False, soft_wrap=True)
    if upload is not None:
        console.print(f"→ {push_to_hub(weights, upload)}", highlight=False, soft_wrap=True)


@export.command()
def project(
    folder: Annotated[Path, typer.Argument(help="the folder of images that was annotated")],
    out: Annotated[
        Path, typer.Argument(help="a new folder; or a .zip; or, for coco without --images and --split, a .json")
    ],
    format: Annotated[
        str,
        typer.Option(help="coco, coco-polygons, voc, yolo, yolo-boxes, labelme, labelme-polygons or png"),
    ] = "coco",
    images: Annotated[bool, typer.Option("--images", help="the images too")] = False,
    split: Annotated[
        str | None, typer.Option(metavar="SHARES", help="training/validation/test, for example 80/10/10")
    ] = None,
    simplify: Annotated[float, typer.Option(help="how far simplified outlines may be off, in pixels")] = 0.0,
    all_images: Annotated[
        bool, typer.Option("--all", help="images that are started too, not only those that are done")
    ] = False,
    approved: Annotated[bool, typer.Option("--approved", help="only images that are approved")] = False,
    database: Annotated[str | None, typer.Option(metavar="URL", help="as for annotate")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="print the manifest, and what changed since the last export")
    ] = False,
) -> None:
    """Write the annotations of a project; says what is left out and what changed since the last export.

    The rule of the split is in the manifest: near-duplicates stay together, the same images give the same split.
    """
    from saywhere.annotate.db.database import Database, default_database_url
    from saywhere.annotate.db.store import Store
    from saywhere.annotate.exports.options import ExportOptions
    from saywhere.annotate.exports.versions import changes_since_last, make_export
    from saywhere.annotate.exports.write import pack
    from saywhere.annotate.image_folder import ImageFolder
    from saywhere.core.atomic import atomic_output
    from saywhere.data.split import Shares

    shares = None if split is None else Shares.parse(split)
    options = ExportOptions(format, not all_images, images, shares, simplify, approved)
    if (out.suffix == ".json") != options.is_one_file and out.suffix != ".zip":
        what = "coco without --images and --split is one file; give it the ending .json" if options.is_one_file else (
            f"{format} is more than one file; give a new folder, or a .zip"
        )  # fmt: skip
        raise SaywhereError(f"'{out}': {what}")
    root = ImageFolder(folder)
    url = database or default_database_url(root.root)
    if database is None and not Path(str(default_database_url(root.root).database)).is_file():
        raise SaywhereError(f"folder '{folder}': was not annotated; there is no database in it (see --database)")
    opened = Database(url)
    try:
        store = Store(opened, root.root)
        if out.suffix == ".zip":
            with atomic_output(out) as place, tempfile.TemporaryDirectory(dir=place.parent) as temporary:
                content = Path(temporary) / "content"
                tree = content / "annotations.json" if options.is_one_file else content
                made = make_export(store, root, tree, options, "", packed=False)
                pack(content, place)
        else:
            made = make_export(store, root, out, options, "", packed=False)
        manifest, changes = made.manifest, changes_since_last(store, made.manifest)
    finally:
        opened.close()
    if as_json:
        print(json.dumps({"manifest": manifest, "changes": changes}))
        return
    notes = group_notes(manifest["notes"])
    list_faults([*manifest["left_out"], *notes[:SHOWN]])
    if len(notes) > SHOWN:
        list_faults([f"... and {len(notes) - SHOWN:,} notes more; --json has them all"])
    counts = manifest["counts"]
    parts = ", ".join(f"{part} {count:,}" for part, count in counts["splits"].items())
    if parts:
        console.print(f"split: {parts}", highlight=False)
    if changes:
        kinds = ("added", "removed", "changed", "moved")
        said = ", ".join(f"{len(changes[kind]):,} images {kind}" for kind in kinds if changes[kind])
        console.print(f"since version {changes['from']}: {said or 'no image changed'}", highlight=False)
    line = f"version {manifest['version']}: {counts['objects']:,} objects in {counts['images']:,} images → {out}"
    console.print(line, highlight=False, soft_wrap=True)
