"""Say *what*, click *where*, get the object.

    import saywhere

    seg = saywhere.load()
    seg.set_image("photo.jpg")
    mask = seg.click(312, 140)        # mask.array is (H, W) bool

Importing this package imports no torch; :func:`load` does.
"""

from saywhere.errors import SaywhereError
from saywhere.loading import load
from saywhere.mask import Mask, Proposal
from saywhere.prompt import Click, Prompt
from saywhere.segmenter import Segmenter, Settings
from saywhere.sequence import Sequence

__all__ = ["Click", "Mask", "Prompt", "Proposal", "SaywhereError", "Segmenter", "Sequence", "Settings", "load"]
__version__ = "0.1.0"
