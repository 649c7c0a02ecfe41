"""``saywhere segment``: Cut one object out of an image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saywhere.cli.common import console, errors
from saywhere.core.cutout import check_blur_radius
from saywhere.errors import PhraseError, SaywhereError
from saywhere.storage.outputs import check_outputs

if TYPE_CHECKING:
    from saywhere.core.mask import Mask
    from saywhere.interactive.segmenter import Segmenter

FORMS = {2: ("X,Y", "120,80"), 3: ("X,Y,RADIUS", "120,80,40"), 4: ("X0,Y0,X1,Y1", "60,40,180,120")}

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".pgm", ".pnm")  # lossless
CUTOUT_SUFFIXES = (".png", ".tif", ".tiff")  # lossless, with transparency


def segment(
    image: Annotated[Path, typer.Argument(help="the image")],
    click: Annotated[list[str] | None, typer.Option(metavar="X,Y", help="a point on the object")] = None,
    drag: Annotated[list[str] | None, typer.Option(metavar="X,Y,RADIUS", help="a point and how far it reaches")] = None,
    not_: Annotated[list[str] | None, typer.Option("--not", metavar="X,Y", help="a point off the object")] = None,
    box: Annotated[str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="a box around the object")] = None,
    say: Annotated[str | None, typer.Option(metavar="TEXT", help="what the object is; no click is needed then")] = None,
    candidate: Annotated[
        int | None, typer.Option(metavar="N", help="another of the network's candidate masks: 0 is the smallest")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the mask as PNG, 255 on the object")] = None,
    overlay: Annotated[Path | None, typer.Option(help="the image with mask and clicks drawn")] = None,
    relevance: Annotated[Path | None, typer.Option(help="the image with the relevance map of the phrase")] = None,
    cutout: Annotated[
        Path | None, typer.Option(help="the object alone, with soft edges, as PNG or TIFF with transparency")
    ] = None,
    blur: Annotated[
        float | None, typer.Option(metavar="RADIUS", help="--cutout: the object before its background, blurred instead")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the mask as COCO run lengths, with its score")] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", "--weights", help="weights (see saywhere models; a file, a hub id), as for bench"),
    ] = None,
) -> None:
    """Cut one object out of an image: the box, clicks, drags, points that are off it, the phrase, in this order."""
    from saywhere.core import render
    from saywhere.core.images import read_image_and_digest
    from saywhere.core.prompt import Click
    from saywhere.core.settings import Settings
    from saywhere.interactive.segmenter import Segmenter
    from saywhere.runtime.registry import find_method

    clicks = [Click(x, y) for x, y in (numbers(text, 2, "--click") for text in click or [])]
    clicks += [Click(x, y, True, radius) for x, y, radius in (numbers(text, 3, "--drag") for text in drag or [])]
    clicks += [Click(x, y, False) for x, y in (numbers(text, 2, "--not") for text in not_ or [])]
    edges = None if box is None else numbers(box, 4, "--box")
    if not clicks and say is None and edges is None:
        raise SaywhereError("no prompt: say where or what the object is, for example --click 120,80 or --say dog")
    if relevance and say is None:
        raise SaywhereError(f"--relevance '{relevance}': shows where a phrase applies; add --say")
    check_cutout(cutout, blur)
    if out is not None and out.suffix.lower() not in MASK_SUFFIXES:
        raise SaywhereError(f"--out '{out}': a file of this ending does not keep every pixel of a mask; use .png")
    outputs = {"--out": out, "--overlay": overlay, "--relevance": relevance, "--cutout": cutout}
    check_outputs(outputs, {"the image": image, "the weights": None if model is None else Path(model)})
    pixels, digest = read_image_and_digest(image)
    if not (any(outputs.values()) or as_json):
        out = default_output(image, digest)
    segmenter = Segmenter(*find_method(model, Settings())).set_image(pixels)
    mask = None if edges is None else segmenter.box(edges[0], edges[1], edges[2], edges[3])
    for each in clicks:
        mask = segmenter.add(each)
    if say is not None:
        mask = mask_with_phrase(segmenter, say, mask)
        if relevance and segmenter.prompt.phrase:
            render.write_image(relevance, render.relevance_overlay(pixels, segmenter.relevance_map(say)))
    assert mask is not None, "there is a click, a box or a phrase"
    candidates, written = segmenter.candidates, segmenter.candidate
    if candidate is not None:
        mask, written = segmenter.choose(candidate), candidate
    cut = mask.cutout(pixels, blur) if cutout else None
    if out:
        render.write_image(out, render.mask_image(mask.array), digest)
    if overlay:
        render.write_image(overlay, mask.overlay(pixels, segmenter.prompt))
    if cutout and cut is not None:
        render.write_image(cutout, cut)
    if as_json:
        size = {"height": mask.image_size.height, "width": mask.image_size.width}
        annotation = render.region_as_coco(mask.array, mask.score)
        facts = {"image": str(image), "photo": str(image), **size, **annotation, "weights": segmenter.runtime.digest}
        if len(candidates) > 1:
            facts |= {"candidate": written, "candidates": [candidate_as_json(other) for other in candidates]}
        print(json.dumps(facts))
    else:
        files = ", ".join(str(path) for path in (out, overlay, relevance, cutout) if path)
        console.print(
            f"{int(mask.array.sum()):,} pixels, expected IoU {mask.score:.2f} → {files}",
            highlight=False,
            soft_wrap=True,
        )
        for index, other in enumerate(candidates if len(candidates) > 1 else ()):
            note = " (written)" if index == written else ""
            console.print(
                f"candidate {index}: {other.area_share:.1%} of the image, "
                f"predicted IoU {other.predicted_iou:.2f}{note}",
                highlight=False,
            )


def check_cutout(cutout: Path | None, blur: float | None) -> None:
    """Check what is asked of ``--cutout`` and ``--blur``, before anything is computed or written.

    Args:
        cutout: the file of the cut-out.
        blur: the radius of the blur.

    Raises:
        SaywhereError: the file's format loses transparency or detail, or the radius is not possible.
    """
    if cutout is None:
        if blur is not None:
            raise SaywhereError(f"--blur {blur:g}: only with --cutout, for example --cutout blurred.png")
        return
    if cutout.suffix.lower() not in CUTOUT_SUFFIXES:
        lost = "no transparency" if blur is None else "not every detail"
        raise SaywhereError(f"--cutout '{cutout}': a file of this ending keeps {lost}; use .png or .tif")
    if blur is not None:
        check_blur_radius(blur)


def default_output(image: Path, digest: str) -> Path:
    """The file of the mask without an option that names one: in this folder, under the image's name.

    A mask of the same image, from an earlier run, is replaced.

    Raises:
        SaywhereError: another file is there, such as the mask of an image of the same name.
    """
    from saywhere.core import render

    out = Path(f"{image.stem}-mask.png")
    if out.exists() and render.source_of(out) != digest:
        raise SaywhereError(f"'{out}': is there already and is no mask of '{image}'; give another file with --out")
    return out


def candidate_as_json(mask: Mask) -> dict[str, float | None]:
    """What the JSON says of a candidate that may not be the one that is written."""
    iou = mask.predicted_iou
    return {"area_share": round(mask.area_share, 4), "predicted_iou": None if iou is None else round(iou, 4)}


def numbers(text: str, count: int, option: str) -> list[float]:
    """``"12,34"`` as two numbers; SaywhereError names the form that the option expects."""
    form, example = FORMS[count]
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise SaywhereError(f"{option} {text!r}: give {form} in pixels, for example {option} {example}")
    return values


def mask_with_phrase(segmenter: Segmenter, phrase: str, mask: Mask | None) -> Mask | None:
    """The mask after a phrase; a phrase that cannot be used leaves the mask of the clicks, with a warning."""
    try:
        refined = segmenter.say(phrase)
    except PhraseError as error:
        if mask is None:
            raise
        errors.print(
            f"saywhere: {error}; answered by the clicks alone", style="yellow", highlight=False, soft_wrap=True
        )
        return mask
    if not segmenter.knows(phrase):
        answer = "what stands out" if mask is None else "the clicks alone"
        problem = f"{phrase!r} is far from all that the weights were trained on; answered by {answer}"
        errors.print(f"saywhere: {problem}", style="yellow", highlight=False, soft_wrap=True)
    elif not segmenter.fits(phrase):
        problem = "be there; click on it if it is" if mask is None else "fit the clicks; answered by the clicks alone"
        errors.print(f"saywhere: {phrase!r} does not seem to {problem}", style="yellow")
    return refined
