"""What the adapters' commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from saywhere import SaywhereError


@contextmanager
def errors_in_one_line(packages: str | None = None) -> Iterator[None]:
    """Around a command: what a user can mend ends it with status 2 and one line.

    Args:
        packages: what ``pip install`` takes where a package of the tool is missing; None: all are there.

    Raises:
        SystemExit: a package is missing, or there was a :class:`SaywhereError`.
    """
    try:
        yield
    except ImportError as error:
        if packages is None:
            raise
        print(f"error: {' '.join(str(error).split())}; pip install {packages}", file=sys.stderr)
        raise SystemExit(2) from error
    except SaywhereError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
