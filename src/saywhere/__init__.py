"""Say *what*, click *where*, get the object.

    import saywhere

    seg = saywhere.load()
    seg.set_image("photo.jpg")
    mask = seg.click(312, 140)        # mask.array is (H, W) bool

Importing this package imports nothing else: each public name is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saywhere.core.mask import Mask
    from saywhere.core.prompt import Click, Prompt
    from saywhere.core.relevance import Proposal
    from saywhere.core.settings import Settings
    from saywhere.errors import SaywhereError
    from saywhere.interactive.load import load
    from saywhere.interactive.segmenter import Segmenter
    from saywhere.interactive.sequence import Sequence

    __version__: str

__all__ = ["Click", "Mask", "Prompt", "Proposal", "SaywhereError", "Segmenter", "Sequence", "Settings", "load"]

_MODULES = {
    "Click": "saywhere.core.prompt",
    "Mask": "saywhere.core.mask",
    "Prompt": "saywhere.core.prompt",
    "Proposal": "saywhere.core.relevance",
    "SaywhereError": "saywhere.errors",
    "Segmenter": "saywhere.interactive.segmenter",
    "Sequence": "saywhere.interactive.sequence",
    "Settings": "saywhere.core.settings",
    "load": "saywhere.interactive.load",
}


def __getattr__(name: str) -> Any:
    """Import a public name; its value is kept, so that this runs once for each."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("saywhere")
    elif name in _MODULES:
        value = getattr(importlib.import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module 'saywhere' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
