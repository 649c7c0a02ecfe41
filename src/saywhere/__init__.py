"""Say *what*, click *where*, get the object.

    import saywhere

    seg = saywhere.load()
    seg.set_image("photo.jpg")
    mask = seg.click(312, 140)        # mask.array is (H, W) bool

Importing this package imports no torch; :func:`load` does.
"""

from saywhere.core.mask import Mask
from saywhere.core.prompt import Click, Prompt
from saywhere.core.relevance import Proposal
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.interactive.load import load
from saywhere.interactive.segmenter import Segmenter
from saywhere.interactive.sequence import Sequence

__all__ = ["Click", "Mask", "Prompt", "Proposal", "SaywhereError", "Segmenter", "Sequence", "Settings", "load"]
__version__ = "0.1.0"
