"""From logits to a better mask, by name. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from saywhere.images import Photo
from saywhere.refine.graphcut import graph_cut

Float = NDArray[np.float32]

# Each takes the pixels ``(H, W, 3)`` that the network looked at and its logits ``(H, W)``, and gives better ones.
REFINEMENTS: Final[Mapping[str, Callable[[Photo, Float], Float]]] = {"graph-cut": graph_cut}
