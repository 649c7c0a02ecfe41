"""The supervision of a training sample in addition to its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassTargets:
    """What an ImageNet classifier, the teacher, sees in a training sample, at an eighth of its size.

    Attributes:
        indices: ``(h, w, K)`` the most probable classes of each cell.
        probabilities: ``(h, w, K)`` their probabilities; 0 where nothing is known.
        phrases: M names and hypernyms of classes, some of which apply to nothing.
        targets: ``(M, h, w)`` 1 where each phrase applies, 0 where it does not, NaN where that is not known.
    """

    indices: NDArray[np.int16]
    probabilities: NDArray[np.float16]
    phrases: tuple[str, ...]
    targets: NDArray[np.float16]


@dataclass(frozen=True)
class PhraseSupervision:
    """Where labels and the prompt's phrase apply in a training sample, at an eighth of its size.

    Attributes:
        regions: labels, each with its mask ``(h, w)``.
        target: ``(h, w)``, where the prompt's phrase applies; None without a phrase.
        classes: what the teacher sees; None without a teacher.
    """

    regions: tuple[tuple[str, NDArray[np.bool_]], ...]
    target: NDArray[np.bool_] | None
    classes: ClassTargets | None = None
