"""The predictor on runtimes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from annotator import PartsRuntime

from conftest import ColourRuntime, disc
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter
from saywhere.segment_anything import Sam, SamPredictor, build_sam


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A red disc and a green one on blue, 300x200."""
    image = np.zeros((200, 300, 3), np.uint8)
    image[...] = (20, 40, 160)
    image[disc(200, 300, 70, 70, 45)] = (220, 30, 20)
    image[disc(200, 300, 180, 120, 40)] = (30, 200, 40)
    return image


def predictor(runtime: ColourRuntime | PartsRuntime | None = None) -> SamPredictor:
    return SamPredictor(Segmenter(runtime or ColourRuntime()))


def test_without_an_image_both_kinds_of_error_are_caught(scene: np.ndarray) -> None:
    each = predictor()
    for error in (RuntimeError, SaywhereError):
        with pytest.raises(error, match="no image yet: call set_image"):
            each.predict(np.array([[1, 1]]), np.array([1]))
    each.set_image(scene)
    assert each.is_image_set
    assert (each.original_size, each.input_size) == ((200, 300), (683, 1024))
    each.reset_image()
    assert not each.is_image_set
    with pytest.raises(RuntimeError):
        each.get_image_embedding()


def test_channels_in_the_order_of_opencv(scene: np.ndarray) -> None:
    each = predictor()
    each.set_image(np.ascontiguousarray(scene[..., ::-1]), image_format="BGR")
    assert np.array_equal(each.segmenter.encoded.image, scene)
    with pytest.raises(SaywhereError, match="image_format 'GRAY': give 'RGB' or 'BGR'"):
        each.set_image(scene, image_format="GRAY")


def test_logits_are_above_0_on_the_mask(scene: np.ndarray) -> None:
    for runtime in (ColourRuntime(), PartsRuntime()):
        each = predictor(runtime)
        each.set_image(scene)
        given = np.array([[70, 70]]), np.array([1])
        masks, scores, low = each.predict(*given)
        logits, same, _ = each.predict(*given, return_logits=True)
        assert logits.dtype == np.float32
        assert np.array_equal(logits > 0.0, masks)
        assert np.array_equal(scores, same)
        assert low.shape == (3, 256, 256)
        assert each.predict(*given, multimask_output=False)[0].shape == (1, 200, 300)


def test_tensors_are_in_sams_frame(scene: np.ndarray) -> None:
    each = predictor()
    each.set_image(scene)
    points = torch.tensor([[[70.0, 70.0]], [[180.0, 120.0]]])
    transformed = each.transform.apply_coords_torch(points, each.original_size)
    assert torch.equal(points, torch.tensor([[[70.0, 70.0]], [[180.0, 120.0]]]))  # the caller's stay
    labels = torch.ones(2, 1, dtype=torch.int)
    masks, scores, low = each.predict_torch(transformed, labels, multimask_output=False)
    assert (masks.shape, masks.dtype) == ((2, 1, 200, 300), torch.bool)
    assert (scores.shape, low.shape) == ((2, 1), (2, 1, 256, 256))
    for mask, (x, y) in zip(masks, ((70, 70), (180, 120)), strict=True):
        expected, _, _ = each.predict(np.array([[x, y]]), np.array([1]), multimask_output=False)
        assert np.array_equal(mask.numpy(), expected)
    given = {"mask_input": low, "multimask_output": False, "return_logits": True}
    again, _, _ = each.predict_torch(transformed, labels, **given)
    assert ((again > 0.0) == masks).float().mean() > 0.99


def test_an_image_that_is_in_sams_frame(scene: np.ndarray) -> None:
    each, plain = predictor(), predictor()
    plain.set_image(scene)
    resized = plain.transform.apply_image(scene)
    each.set_torch_image(torch.from_numpy(resized).permute(2, 0, 1)[None], (200, 300))
    assert (each.original_size, each.input_size) == ((200, 300), (683, 1024))
    given = np.array([[70, 70]]), np.array([1])
    assert (each.predict(*given)[0] == plain.predict(*given)[0]).mean() > 0.99
    for shape in ((1, 3, 200, 300), (3, 683, 1024), (1, 4, 683, 1024)):
        with pytest.raises(SaywhereError, match=r"give \(1, 3, H, W\) with a longer side of 1024"):
            each.set_torch_image(torch.zeros(shape), (200, 300))


def test_prompts_that_do_not_belong_together(scene: np.ndarray) -> None:
    each = predictor()
    each.set_image(scene)
    with pytest.raises(SaywhereError, match="give tensors of one length"):
        each.predict_torch(torch.zeros(2, 1, 2), torch.ones(3, 1))
    with pytest.raises(SaywhereError, match="give tensors of one length"):
        each.predict_torch(None, None)
    with pytest.raises(SaywhereError, match="image and original_size are missing"):
        each.model([{"boxes": torch.zeros(1, 4)}], multimask_output=False)


def test_the_embedding_is_that_of_the_network(scene: np.ndarray) -> None:
    each = SamPredictor(build_sam())
    each.set_image(scene)
    embedding = each.get_image_embedding()
    assert embedding.shape[0] == 1
    assert tuple(embedding.shape[2:]) == (14, 20)  # 213 x 320 pixels, padded, at stride 16
    other = predictor()
    other.set_image(scene)
    with pytest.raises(SaywhereError, match="'colour' has no embedding of an image"):
        other.get_image_embedding()


def test_models_that_there_are_not() -> None:
    with pytest.raises(SaywhereError, match=r"give it to saywhere\.load"):
        Sam(Segmenter(ColourRuntime())).to("cuda")
    with pytest.raises(SaywhereError, match="no such name or file"):
        build_sam("nothing")
