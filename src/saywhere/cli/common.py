"""What the verbs share: consoles, text files, progress."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from saywhere.errors import SaywhereError

# Without markup: [brackets] in the names of files are printed as they are.
console = Console(emoji=False, markup=False)
errors = Console(stderr=True, emoji=False, markup=False)


def read_text(path: Path, option: str) -> str:
    """Read a text file that an option names.

    Raises:
        SaywhereError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise SaywhereError(f"{option} '{path}': cannot be read ({error})") from error


def list_faults(faults: list[str]) -> None:
    """Print faults, a line each."""
    for fault in faults:
        console.print(fault, highlight=False, markup=False, soft_wrap=True)


def advance_bar(progress: Progress, bar: TaskID, done: int, total: int) -> None:
    """Move a progress bar."""
    progress.update(bar, completed=done, total=total)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool = False) -> None:
    """Print a table.

    Args:
        header: names of the columns.
        rows: the cells.
        markdown: print it as Markdown, to be pasted into a document; without rows only the header, as a line.
    """
    if not rows:
        console.print(*header, highlight=False, markup=False, soft_wrap=True)
    elif markdown:
        for cells in (header, ["---"] * len(header), *rows):
            print(f"| {' | '.join(cells)} |")
    else:
        table = Table(*header)
        for cells in rows:
            table.add_row(*cells)
        console.print(table)
