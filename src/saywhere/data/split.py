"""Images into training, validation and test: the same images with the same shares always give the same split.

Images that are nearly the same (frames of one sequence, copies in another size) are kept together, so that nothing is
tested on what was trained with. :data:`RULE` states the rule in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import ImageArray
from saywhere.errors import SaywhereError

SPLITS: Final = ("train", "val", "test")
GRID = 8  # cells of a fingerprint along a side
MAX_DIFFERING_BITS = 12  # of 128
MAX_COLOUR_DIFFERENCE = 16.0  # levels of 255
_BLOCK = 512  # images that are compared with all others at once

RULE: Final = (
    f"An image is reduced to {GRID + 1}x{GRID + 1} grey pixels; whether each is darker than its right and than its "
    f"lower neighbour gives {2 * GRID * GRID} bits. Two images are near-duplicates when at most {MAX_DIFFERING_BITS} "
    f"bits differ and their {GRID}x{GRID} colours, each channel less its mean, differ by at most "
    f"{MAX_COLOUR_DIFFERENCE:g} of 255 levels (root mean square). Near-duplicates of near-duplicates are one group; a "
    "group is never divided. Groups "
    "are ordered by the smallest SHA-256 of their files. Each in turn goes to the part that lacks most images of its "
    "share; each part with a share gets at least one group if there are enough."
)
"""The rule by which images are split."""


@dataclass(frozen=True)
class Shares:
    """The shares of training, validation and test; what they are shares of is their sum."""

    train: float
    val: float = 0.0
    test: float = 0.0

    def __post_init__(self) -> None:
        values = self.as_tuple()
        if not all(np.isfinite(value) and value >= 0 for value in values) or self.train <= 0:
            raise SaywhereError(f"split {self}: give shares from 0 on, training above 0, for example 80/10/10")

    @classmethod
    def parse(cls, text: str) -> Shares:
        """Shares from text.

        Args:
            text: two or three numbers with ``/`` between them.

        Raises:
            SaywhereError: it is of another form.

        Example:
            >>> str(Shares.parse("80/20"))
            '80/20/0'
        """
        try:
            values = [float(part) for part in text.split("/")]
        except ValueError:
            values = []
        if len(values) not in (2, 3):
            raise SaywhereError(f"split '{text}': give train/val or train/val/test, for example 80/10/10")
        return cls(*values)

    def as_tuple(self) -> tuple[float, float, float]:
        """The three shares."""
        return self.train, self.val, self.test

    def __str__(self) -> str:
        return "/".join(f"{value:g}" for value in self.as_tuple())


@dataclass(frozen=True)
class Fingerprint:
    """By what near-duplicates of an image are found.

    Attributes:
        bits: ``(128,)`` bool.
        colours: ``(192,)`` float32, without the mean of each channel.
    """

    bits: NDArray[np.bool_]
    colours: NDArray[np.float32]

    @classmethod
    def of(cls, pixels: ImageArray) -> Fingerprint:
        """The fingerprint of an ``(H, W, 3)`` uint8 RGB image; a small version of it is enough."""
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
        grid = cv2.resize(grey, (GRID + 1, GRID + 1), interpolation=cv2.INTER_AREA)
        # A difference of less than one level is noise: it would tell copies of a flat image apart.
        right = grid[:-1, 1:] - grid[:-1, :-1] > 1.0
        below = grid[1:, :-1] - grid[:-1, :-1] > 1.0
        colours = cv2.resize(pixels.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA).reshape(-1, 3)
        return cls(np.concatenate([right.ravel(), below.ravel()]), (colours - colours.mean(axis=0)).ravel())


def group_near_duplicates(fingerprints: Sequence[Fingerprint | None]) -> list[int]:
    """The number of each image's group: that of the first image in it. An image without a fingerprint is alone.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> one, other = (rng.integers(0, 255, (60, 80, 3), dtype=np.uint8) for _ in range(2))
        >>> group_near_duplicates([Fingerprint.of(each) for each in (one, other, np.maximum(one, 3))])
        [0, 1, 0]
    """
    known = [i for i, each in enumerate(fingerprints) if each is not None]
    parents = list(range(len(fingerprints)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    if known:
        some = [each for each in fingerprints if each is not None]
        signs = np.stack([np.where(each.bits, 1.0, -1.0) for each in some]).astype(np.float32)
        colours = np.stack([each.colours for each in some])
        for start in range(0, len(some), _BLOCK):
            differing = (signs.shape[1] - signs[start : start + _BLOCK] @ signs.T) / 2.0
            for row, column in np.argwhere(differing <= MAX_DIFFERING_BITS):
                i, j = start + int(row), int(column)
                if i < j and float(np.sqrt(((colours[i] - colours[j]) ** 2).mean())) <= MAX_COLOUR_DIFFERENCE:
                    a, b = root(known[i]), root(known[j])
                    parents[max(a, b)] = min(a, b)
    return [root(i) for i in range(len(fingerprints))]


def split_images(hashes: Mapping[str, str], fingerprints: Mapping[str, Fingerprint], shares: Shares) -> dict[str, str]:
    """Divide images by :data:`RULE`.

    Args:
        hashes: SHA-256 of each image's file, by the image's name.
        fingerprints: by name; an image without one is a group of its own.
        shares: how much each part gets.

    Returns:
        One of :data:`SPLITS` by name.

    Example:
        >>> names = {f"{i}.png": f"{i:064x}" for i in range(10)}
        >>> parts = list(split_images(names, {}, Shares(80, 10, 10)).values())
        >>> [parts.count(each) for each in SPLITS]
        [8, 1, 1]
    """
    names = sorted(hashes)
    groups: dict[int, list[str]] = {}
    for name, group in zip(names, group_near_duplicates([fingerprints.get(name) for name in names]), strict=True):
        groups.setdefault(group, []).append(name)
    ordered = sorted(groups.values(), key=lambda group: min((hashes[name], name) for name in group))
    total = sum(shares.as_tuple())
    # Every part with a share lacks at least one image, so that none stays empty.
    lacking = {
        part: max(len(names) * share / total, 1.0)
        for part, share in zip(SPLITS, shares.as_tuple(), strict=True)
        if share > 0
    }
    parts: dict[str, str] = {}
    empty = set(lacking)
    for number, members in enumerate(ordered):
        left = len(ordered) - number
        # As many groups as parts are still empty: each of these gets one.
        choices = empty if empty and left <= len(empty) else lacking.keys()
        chosen = max(sorted(choices, key=SPLITS.index), key=lambda part: lacking[part])
        lacking[chosen] -= len(members)
        empty.discard(chosen)
        parts |= dict.fromkeys(members, chosen)
    return parts
