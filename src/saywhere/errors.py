"""The one error a user can cause."""

from collections.abc import Iterator
from contextlib import contextmanager


class SaywhereError(ValueError):
    """Input that cannot be used.

    The text is one line: what was given, what was expected and what to do.
    The command line prints it without a trace and ends with code 2.
    """


class PhraseError(SaywhereError):
    """A phrase that is of no use: empty, too long, or of unknown words. Answers without it are not affected."""


class NoMapError(SaywhereError):
    """Asked of a network that understands phrases but cannot tell where one applies."""


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Around imports that only an extra brings: SaywhereError says which one ``what`` lacks and how to get it."""
    try:
        yield
    except ImportError as error:
        raise SaywhereError(f"{what}: {error.name or error} is missing; pip install 'saywhere[{extra}]'") from error
