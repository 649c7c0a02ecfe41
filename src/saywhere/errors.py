"""The one error a user can cause, and extras that are not installed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final


class SaywhereError(ValueError):
    """Input that cannot be used.

    The text is one line: what was given, what was expected and what to do.
    The command line prints it without a trace and ends with code 2.
    """


class PhraseError(SaywhereError):
    """A phrase that is of no use: empty, too long, or of unknown words. Answers without it are not affected."""


class NoMapError(SaywhereError):
    """Asked of a network that understands phrases but cannot tell where one applies."""


EXTRA_OF: Final[Mapping[str, str]] = {
    "torch": "torch",
    "torchvision": "torch",
    "timm": "torch",
    "lightning_fabric": "torch",
    "onnx": "torch",
    "open_clip": "torch",
    "segmentation_models_pytorch": "torch",
    "scipy": "bench",
    "skimage": "bench",
    "matplotlib": "bench",
    "jinja2": "bench",
    "huggingface_hub": "hub",
    "psycopg": "postgres",
    "ray": "ray",
    "tensorboard": "tensorboard",
}


def missing_extra(error: ImportError) -> str | None:
    """One line for an import that an extra would make possible; None for any other."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(package)
    return f"{package} is missing; pip install 'saywhere[{extra}]'" if extra else None


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Around imports that only an extra brings.

    Args:
        extra: the extra of this package that brings them.
        what: what needs them, as the user calls it.

    Raises:
        SaywhereError: which package is missing and the ``pip install`` that brings it.
    """
    try:
        yield
    except ImportError as error:
        if (error.name or "").startswith("saywhere"):
            raise  # a fault of this package, which no installation mends
        raise SaywhereError(f"{what}: {error.name or error} is missing; pip install 'saywhere[{extra}]'") from error
