"""The command ``saywhere``: :mod:`saywhere.cli.app`, and what ends it in one line instead of a trace."""

from __future__ import annotations

import sys
from typing import Any

from saywhere.errors import SaywhereError, missing_extra

OUT_OF_MEMORY_MESSAGES = (
    "cannot allocate memory", "failed to map segment", "bad_alloc", "bad allocation", "unable to allocate",
    "failed to allocate", "out of memory", "not enough memory", "can't start new thread",
    "resource temporarily unavailable",
)  # fmt: skip
"""Parts of the messages, in lower case, with which libraries report that memory is short; their exceptions differ."""


def __getattr__(name: str) -> Any:
    """``app``, which is imported when it is needed: its imports are the first to fail where memory is short."""
    if name == "app":
        from saywhere.cli.app import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command line; a user's error is one line and code 2."""
    try:
        from saywhere.cli.app import run

        run(sys.argv[1:])
        return
    except SaywhereError as error:
        reason = str(error)
    except Exception as error:
        missing = missing_extra(error) if isinstance(error, ImportError) else None
        if missing is None and not is_out_of_memory(error):
            raise
        reason = missing or "there is not enough memory; raise its limit (ulimit -v), or give a smaller image"
    _fail(reason)
    sys.exit(2)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or one that it came from, is for want of memory."""
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY_MESSAGES):
        return True
    cause = error.__cause__ or error.__context__
    return cause is not None and is_out_of_memory(cause)


def _fail(reason: str) -> None:
    try:
        from saywhere.cli.app import fail

        fail(reason)
    except (ImportError, MemoryError, OSError):
        print(f"saywhere: {reason}", file=sys.stderr)
