"""The calls of the official notebooks of Segment Anything, against our classes: only import lines differ.

The calls are written from their description: a predictor with points, a box, both, a batch of boxes and a batch of
images, and the generator with its defaults and with options.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from saywhere.annotate.sample_images import SAMPLES
from saywhere.core.metrics import iou
from saywhere.segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from saywhere.segment_anything.utils.transforms import ResizeLongestSide


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.array(Image.open(SAMPLES / "astronaut.jpg").convert("RGB"))


@pytest.fixture(scope="module")
def predictor(image: np.ndarray) -> SamPredictor:
    with pytest.warns(UserWarning, match=r"sam_vit_h_4b8939\.pth': checkpoints of SAM are not run here"):
        sam = sam_model_registry["vit_h"](checkpoint="sam_vit_h_4b8939.pth")
    sam.to(device="cpu")
    made = SamPredictor(sam)
    made.set_image(image)
    return made


def test_points_and_the_last_mask(predictor: SamPredictor, image: np.ndarray) -> None:
    input_point, input_label = np.array([[220, 120]]), np.array([1])
    masks, scores, logits = predictor.predict(point_coords=input_point, point_labels=input_label, multimask_output=True)
    height, width = image.shape[:2]
    assert (masks.shape, scores.shape, logits.shape) == ((3, height, width), (3,), (3, 256, 256))
    assert masks.dtype == np.bool_
    mask_input = logits[np.argmax(scores), :, :]
    input_point, input_label = np.array([[220, 120], [230, 160]]), np.array([1, 1])
    masks, _, _ = predictor.predict(
        point_coords=input_point, point_labels=input_label, mask_input=mask_input[None, :, :], multimask_output=False
    )
    assert masks.shape == (1, height, width)
    assert masks[0, 120, 220]
    masks, _, _ = predictor.predict(
        point_coords=np.array([[220, 120], [40, 40]]), point_labels=np.array([1, 0]),
        mask_input=mask_input[None, :, :], multimask_output=False,
    )  # fmt: skip
    assert not masks[0, 40, 40]


def test_a_box_alone_and_with_a_point(predictor: SamPredictor) -> None:
    input_box = np.array([140, 30, 300, 230])
    alone, _, _ = predictor.predict(
        point_coords=None, point_labels=None, box=input_box[None, :], multimask_output=False
    )
    rows, columns = np.nonzero(alone[0])
    assert columns.min() >= 120
    assert columns.max() <= 320
    assert rows.max() <= 250
    both, _, _ = predictor.predict(
        point_coords=np.array([[220, 200]]), point_labels=np.array([0]), box=input_box, multimask_output=False
    )
    assert not both[0, 200, 220]


def test_a_batch_of_boxes(predictor: SamPredictor, image: np.ndarray) -> None:
    input_boxes = torch.tensor([[140, 30, 300, 230], [100, 250, 450, 510], [330, 0, 460, 250]], device=predictor.device)
    transformed_boxes = predictor.transform.apply_boxes_torch(input_boxes, image.shape[:2])
    masks, scores, logits = predictor.predict_torch(
        point_coords=None, point_labels=None, boxes=transformed_boxes, multimask_output=False
    )
    assert masks.shape == (3, 1, *image.shape[:2])
    assert (scores.shape, logits.shape) == ((3, 1), (3, 1, 256, 256))
    for mask, box in zip(masks, input_boxes, strict=True):
        expected, _, _ = predictor.predict(box=box.numpy(), multimask_output=False)
        assert iou(mask.cpu().numpy()[0], expected[0]) > 0.98


def test_a_batch_of_images(predictor: SamPredictor, image: np.ndarray) -> None:
    sam = predictor.model
    resize_transform = ResizeLongestSide(sam.image_encoder.img_size)
    other = np.array(Image.open(SAMPLES / "coffee.jpg").convert("RGB"))
    boxes = torch.tensor([[140.0, 30.0, 300.0, 230.0]]), torch.tensor([[120.0, 60.0, 480.0, 380.0], [0, 0, 90, 90]])

    def prepare_image(each: np.ndarray) -> torch.Tensor:
        tensor = torch.as_tensor(resize_transform.apply_image(each), device=sam.device)
        return tensor.permute(2, 0, 1).contiguous()

    batched_input = [
        {
            "image": prepare_image(each),
            "boxes": resize_transform.apply_boxes_torch(given, each.shape[:2]),
            "original_size": each.shape[:2],
        }
        for each, given in zip((image, other), boxes, strict=True)
    ]
    batched_output = sam(batched_input, multimask_output=False)
    assert list(batched_output[0]) == ["masks", "iou_predictions", "low_res_logits"]
    assert [tuple(each["masks"].shape) for each in batched_output] == [(1, 1, 512, 512), (2, 1, *other.shape[:2])]
    expected, _, _ = predictor.predict(box=boxes[0][0].numpy(), multimask_output=False)
    assert iou(batched_output[0]["masks"][0, 0].numpy(), expected[0]) > 0.9


def test_everything_in_an_image() -> None:
    image = np.array(Image.open(SAMPLES / "coffee.jpg").convert("RGB"))
    sam = sam_model_registry["vit_h"]()
    masks = SamAutomaticMaskGenerator(sam, points_per_side=8).generate(image)
    assert masks
    assert set(masks[0]) == {
        "segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"
    }  # fmt: skip
    for annotation in sorted(masks, key=lambda x: x["area"], reverse=True):
        shown = annotation["segmentation"]
        assert (shown.shape, shown.dtype) == (image.shape[:2], np.bool_)
        assert shown.sum() == annotation["area"]
    mask_generator_2 = SamAutomaticMaskGenerator(
        model=sam, points_per_side=8, pred_iou_thresh=0.86, stability_score_thresh=0.92, crop_n_layers=1,
        crop_n_points_downscale_factor=2, min_mask_region_area=100,
    )  # fmt: skip
    assert all(each["predicted_iou"] >= 0.86 for each in mask_generator_2.generate(image))


def test_torch_is_not_needed_for_arrays() -> None:
    code = (
        "import sys, numpy as np; sys.modules['torch'] = None\n"
        "from saywhere.segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry\n"
        "sam = sam_model_registry['vit_b'](); p = SamPredictor(sam); image = np.zeros((40, 50, 3), np.uint8)\n"
        "p.set_image(image); print(p.predict(np.array([[5, 5]]), np.array([1]))[0].shape)\n"
        "SamAutomaticMaskGenerator(sam, points_per_side=2).generate(image)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "(3, 40, 50)", done.stderr
