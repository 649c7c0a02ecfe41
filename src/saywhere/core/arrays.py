"""Names for the numpy arrays that pass between the packages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ImageArray = NDArray[np.uint8]
"""``(H, W, 3)`` RGB."""
FloatArray = NDArray[np.float32]
"""A map ``(H, W)`` of logits or probabilities, or features ``(C, h, w)``."""
BoolArray = NDArray[np.bool_]
"""A mask ``(H, W)``."""
