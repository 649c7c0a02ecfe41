"""Splitting into training, validation and test: deterministic, in the given shares, near-duplicates together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from saywhere.data.split import Fingerprint, Shares, group_near_duplicates, split_images
from saywhere.errors import SaywhereError


def scene(seed: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """A picture of soft blobs."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    rows = np.linspace(0, 5.99, size[0]).astype(int)
    columns = np.linspace(0, 7.99, size[1]).astype(int)
    return small[rows][:, columns]


class TestNearDuplicates:
    def test_copies_in_another_size_and_light_are_one_group(self) -> None:
        noise = np.random.default_rng(5).integers(-6, 7, (120, 160, 3))
        darker = np.clip(scene(1).astype(int) * 0.97 + noise, 0, 255).astype(np.uint8)
        images = [scene(0), scene(1), scene(1, (240, 320)), darker, scene(2)]
        assert group_near_duplicates([Fingerprint.of(image) for image in images]) == [0, 1, 1, 1, 4]

    def test_an_image_that_cannot_be_read_is_alone(self) -> None:
        one = Fingerprint.of(scene(0))
        assert group_near_duplicates([None, one, None, one]) == [0, 1, 2, 1]

    def test_flat_images_differ_by_what_is_on_them(self) -> None:
        images = [np.full((60, 80, 3), 90, np.uint8) for _ in range(2)]
        images[1][10:40, 20:60] = (200, 40, 40)
        assert group_near_duplicates([Fingerprint.of(image) for image in images]) == [0, 1]


class TestSplit:
    def test_shares_and_determinism(self) -> None:
        names = {f"{i}.jpg": f"{(i * 7919) % 997:064x}" for i in range(100)}
        parts = split_images(names, {}, Shares(70, 20, 10))
        assert Counter(parts.values()) == {"train": 70, "val": 20, "test": 10}
        assert split_images(dict(reversed(names.items())), {}, Shares(7, 2, 1)) == parts

    def test_a_group_is_never_divided(self) -> None:
        names = {
            f"{scenery}-{frame}.jpg": f"{scenery * 31 + frame:064x}" for scenery in range(12) for frame in range(4)
        }
        prints = {name: Fingerprint.of(scene(int(name.split("-")[0]))) for name in names}
        parts = split_images(names, prints, Shares(50, 25, 25))
        by_scene = {}
        for name, part in parts.items():
            by_scene.setdefault(name.split("-")[0], set()).add(part)
        assert all(len(each) == 1 for each in by_scene.values())
        assert Counter(parts.values()) == {"train": 24, "val": 12, "test": 12}

    @pytest.mark.parametrize("count", [3, 4, 5])
    def test_no_part_stays_empty(self, count: int) -> None:
        parts = split_images({f"{i}": f"{i:064x}" for i in range(count)}, {}, Shares(80, 10, 10))
        assert set(parts.values()) == {"train", "val", "test"}

    def test_a_share_of_nothing_gets_nothing(self) -> None:
        assert set(split_images({f"{i}": f"{i:064x}" for i in range(9)}, {}, Shares(80, 20)).values()) == {
            "train", "val",
        }  # fmt: skip

    @pytest.mark.parametrize("text", ["80", "a/b", "0/50/50", "80/-1/21", "80/10/10/0", "nan/1/1", ""])
    def test_bad_shares(self, text: str) -> None:
        with pytest.raises(SaywhereError, match="split"):
            Shares.parse(text)
