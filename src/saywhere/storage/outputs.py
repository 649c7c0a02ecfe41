"""Output files that must not overwrite an input or each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from saywhere.errors import SaywhereError


def check_outputs(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Check, before anything is computed, that no output is an input or another output.

    Links count as the files that they lead to.

    Args:
        outputs: files to be written, by what the user calls them; None where one is not asked for.
        inputs: files that are read, likewise.

    Raises:
        SaywhereError: names the output and what it would overwrite.
    """
    written = [(name, path) for name, path in outputs.items() if path is not None]
    read = [(name, path) for name, path in inputs.items() if path is not None]
    for index, (name, path) in enumerate(written):
        for other_name, other in (*read, *written[:index]):
            if is_same_file(path, other):
                raise SaywhereError(f"{name} '{path}': is also {other_name}; give another file")


def check_not_among(name: str, output: Path, inputs: Iterable[Path]) -> None:
    """:func:`check_outputs` for one output and very many inputs, all of which exist."""
    try:
        identity = output.stat()
    except (OSError, ValueError):
        return  # what does not exist is no input
    for path in inputs:
        try:
            other = path.stat()
        except (OSError, ValueError):
            continue
        if (other.st_dev, other.st_ino) == (identity.st_dev, identity.st_ino):
            raise SaywhereError(f"{name} '{output}': is the image '{path}' of the source; give another file")


def is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths lead to the same file, which need not exist yet."""
    try:
        if path.exists() and other.exists():
            return path.samefile(other)
        return path.resolve() == other.resolve()
    except (OSError, ValueError):  # a NUL or a loop of links: writing will say so
        return path == other
