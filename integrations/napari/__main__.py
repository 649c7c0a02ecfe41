"""Opens an image in napari: ``python -m integrations.napari photo.jpg --say cat``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from integrations.command import errors_in_one_line
from saywhere import load


def main(
    image: Annotated[Path, typer.Argument(help="an image file")],
    say: Annotated[str | None, typer.Option(help="add every object that this phrase names")] = None,
    model: Annotated[str | None, typer.Option(help="weights; as for saywhere segment")] = None,
) -> None:
    """Segment an image in napari."""
    with errors_in_one_line("'napari[pyqt6]'"):
        import napari
        import qtpy  # noqa: F401  # says in one line that there is no Qt, where napari says it in many

        from integrations.napari.layers import SegmentationLayers

        segmenter = load(model).set_image(image)
        layers = SegmentationLayers(napari.Viewer(title=f"Saywhere: {image.name}"), segmenter, image.name)
        if say is not None:
            typer.echo(f"{layers.say(say)} found")
    napari.run()


if __name__ == "__main__":
    typer.run(main)
