"""The sample images that ship with the package, to try the annotator on."""

from __future__ import annotations

from pathlib import Path

from saywhere.core.atomic import write_atomically

SAMPLES = Path(__file__).parent / "samples"


def write_samples(folder: Path) -> list[Path]:
    """Write the sample images to a folder, which is created; files that are there already stay as they are.

    Args:
        folder: where to write.

    Returns:
        The paths of the sample images in the folder.

    Raises:
        SaywhereError: the folder cannot be written.
    """
    paths = [folder / source.name for source in sorted(SAMPLES.glob("*.jpg"))]
    for path in paths:
        if not path.exists():
            write_atomically(path, (SAMPLES / path.name).read_bytes())
    return paths
