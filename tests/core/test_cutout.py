"""The cut-out and the blurred background: opacity, colours at soft pixels, no rim of the other side's colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from saywhere import SaywhereError
from saywhere.core.crop import Crop
from saywhere.core.cutout import blur_background, cut_out, opacity_of_mask, soft_opacity
from saywhere.core.geometry import ImageSize
from saywhere.core.mask import Mask, sigmoid

SIZE = ImageSize(120, 160)
OBJECT, BACKGROUND = np.array([250.0, 20.0, 20.0]), np.array([40.0, 120.0, 200.0])


def disc(radius: float = 35.0, softness: float = 1.0) -> np.ndarray:
    """The logits of a disc at the centre of the image."""
    rows, columns = np.indices(SIZE)
    return ((radius - np.hypot(rows - 60, columns - 80)) / softness).astype(np.float32)


def opacity_of(logits: np.ndarray) -> np.ndarray:
    return soft_opacity(logits > 0, sigmoid(logits), width=2.0)


def mixed(opacity: np.ndarray) -> np.ndarray:
    """An image whose pixels are object and background in these shares."""
    share = opacity[:, :, None]
    return (share * OBJECT + (1.0 - share) * BACKGROUND).round().astype(np.uint8)


class TestOpacity:
    def test_it_is_soft_at_the_boundary_alone(self) -> None:
        logits = disc(softness=20.0)  # nowhere does the network say more than 0.85
        opacity = opacity_of(logits)
        distance = np.abs(disc())
        assert (opacity[distance > 3.0] == (logits > 0)[distance > 3.0]).all()
        soft = (opacity > 0.05) & (opacity < 0.95)
        assert soft.sum() > 2 * 2 * np.pi * 30
        assert ((opacity > 0.5) == (logits > 0)).all()

    def test_a_sharp_answer_stays_sharp(self) -> None:
        opacity = opacity_of(disc(softness=0.05))
        assert ((opacity < 0.05) | (opacity > 0.95)).mean() > 0.99

    def test_by_hand(self) -> None:
        mask = np.array([[False, True, True, True]])
        # Distances to the boundary: 0.5 | 0.5, 1.5, 2.5; of a width of 2: a quarter, three quarters, all of a half.
        assert soft_opacity(mask, np.array([[0.45, 0.55, 0.55, 0.55]], np.float32), 2.0).tolist() == [
            pytest.approx([0.375, 0.625, 0.875, 1.0])
        ]
        assert soft_opacity(mask, np.array([[0.3, 0.9, 0.55, 0.55]], np.float32), 2.0).tolist() == [
            pytest.approx([0.3, 0.9, 0.875, 1.0])
        ]

    def test_a_mask_alone_keeps_its_lines_and_notches(self) -> None:
        mask = disc() > 0
        mask[60, :] = ~mask[60, :]
        opacity = opacity_of_mask(mask)
        assert ((opacity > 0.5) == mask).all()
        assert (opacity_of_mask(np.ones((4, 5), np.bool_)) == 1.0).all()


class TestColours:
    def test_soft_pixels_have_the_object_s_own_colour(self) -> None:
        opacity = opacity_of(disc())
        cut = cut_out(mixed(opacity), opacity)
        levels = cut[:, :, 3]
        assert np.abs(levels / 255.0 - opacity).max() <= 0.5 / 255 + 1e-6
        soft = (levels > 50) & (levels < 205)
        assert soft.sum() > 100
        assert np.abs(cut[soft][:, :3] - OBJECT).max() <= 12
        assert (cut[levels == 0] == 0).all(), "nothing of the background is in the file"
        assert (cut[levels == 255][:, :3] == mixed(opacity)[levels == 255]).all()

    def test_the_object_does_not_bleed_into_the_blurred_background(self) -> None:
        opacity = opacity_of(disc())
        image = mixed(opacity)
        blurred = blur_background(image, opacity, 12.0)
        assert np.abs(blurred[opacity == 0] - BACKGROUND).max() <= 1, "the one colour of the background, up to the rim"
        assert (blurred[opacity == 1] == image[opacity == 1]).all(), "the object is as sharp as it was"
        plain = cv2.GaussianBlur(image, (0, 0), 12.0)
        assert np.abs(plain[opacity == 0] - BACKGROUND).max() > 60, "what an ordinary blur does here"

    @pytest.mark.parametrize("radius", [3.0, 12.0, 50.0])
    def test_no_dark_halo_around_a_bright_or_dark_object(self, radius: float) -> None:
        opacity = opacity_of(disc())
        for inside, around in ((0, 220), (255, 90)):
            image = np.where(opacity[:, :, None] > 0.5, inside, around).astype(np.uint8).repeat(3, axis=2)
            blurred = blur_background(image, opacity, radius)
            assert np.abs(blurred[opacity < 0.004].astype(int) - around).max() <= 2

    @pytest.mark.parametrize("radius", [2.0, 12.0, 40.0])
    def test_it_blurs_as_much_as_it_is_asked(self, radius: float) -> None:
        rows = np.indices((400, 400))[0]
        image = np.where(rows < 200, 0, 240).astype(np.uint8)[:, :, None].repeat(3, axis=2)
        opacity = np.zeros((400, 400), np.float32)
        opacity[:4, :4] = 1.0
        profile = blur_background(image, opacity, radius)[:, 200, 0] / 240.0
        # One standard deviation beyond a step, its Gaussian blur is at 0.841.
        assert profile[round(199.5 + radius)] == pytest.approx(0.841, abs=0.06 if radius < 4 else 0.03)

    def test_an_object_that_fills_the_image_is_left_as_it_is(self) -> None:
        image = mixed(opacity_of(disc()))
        assert (blur_background(image, np.ones(SIZE, np.float32), 5.0) == image).all()


class TestMask:
    def mask(self, logits: np.ndarray, threshold: float = 0.5) -> Mask:
        return Mask(Crop(0, 0, SIZE.width, SIZE.height, SIZE.width, SIZE.height), logits, SIZE, threshold)

    def test_cut_out_and_blurred(self) -> None:
        mask, image = self.mask(disc()), mixed(opacity_of(disc()))
        cut = mask.cutout(image)
        assert cut.shape == (*SIZE, 4)
        assert 0.0 < ((cut[:, :, 3] > 0) & (cut[:, :, 3] < 255)).mean() < 0.05
        assert mask.cutout(Image.fromarray(image), blur=5).shape == (*SIZE, 3)

    @pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
    def test_a_hard_cut_is_the_mask(self, threshold: float) -> None:
        mask, image = self.mask(disc(softness=8.0), threshold), mixed(opacity_of(disc()))
        assert (mask.cutout(image, soft=False)[:, :, 3] == 255 * mask.array).all()
        assert ((mask.cutout(image)[:, :, 3] > 127) == mask.array).all()

    def test_a_large_image_has_an_edge_as_wide_as_the_network_sees(self) -> None:
        small = Mask(Crop(0, 0, 160, 120, 160, 120), disc(softness=4.0), SIZE)
        large = Mask(Crop(0, 0, 1600, 1200, 160, 120), disc(softness=4.0), ImageSize(1200, 1600))
        soft = [((one.opacity() > 0.01) & (one.opacity() < 0.99)).mean() for one in (small, large)]
        assert soft[1] == pytest.approx(soft[0], rel=0.2)

    def test_what_cannot_be_cut_out(self) -> None:
        image = mixed(opacity_of(disc()))
        with pytest.raises(SaywhereError, match="100x120: the mask is of 160x120"):
            self.mask(disc()).cutout(image[:, :100])
        with pytest.raises(SaywhereError, match="mask is empty"):
            self.mask(disc() - 100.0).cutout(image)
        for radius in (0.0, -3.0, float("nan"), float("inf")):
            with pytest.raises(SaywhereError, match="above 0"):
                self.mask(disc()).cutout(image, blur=radius)
        with pytest.raises(SaywhereError, match=r"larger than the image \(160x120\)"):
            self.mask(disc()).cutout(image, blur=161)
