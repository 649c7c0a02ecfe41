import math
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import ColourRuntime, disc
from saywhere import Click, SaywhereError, Segmenter, Settings
from saywhere.core import metrics
from saywhere.core.components import remove_unclicked_components
from saywhere.models.saywhere import Saywhere
from saywhere.runtime.torch import TorchRuntime


@pytest.fixture
def segmenter(runtime: ColourRuntime, photo: np.ndarray) -> Segmenter:
    return Segmenter(runtime).set_image(photo)


def test_a_click_gives_the_object(segmenter: Segmenter) -> None:
    mask = segmenter.click(300, 200)
    assert mask.array.shape == (480, 640)
    assert mask.array.dtype == bool
    assert metrics.iou(mask.array, disc(480, 640, 300, 200, 40)) > 0.97
    assert mask.probability.min() >= 0.0
    assert mask.probability.max() <= 1.0
    assert mask.score > 0.95


def test_looking_closer_sharpens_a_small_object(runtime: ColourRuntime) -> None:
    photo = np.full((900, 1600, 3), 30, np.uint8)
    target = disc(900, 1600, 801, 333, 13)
    photo[target] = 250
    found = {}
    for zoom in (True, False):
        segmenter = Segmenter(runtime, Settings(zoom=zoom)).set_image(photo)
        found[zoom] = metrics.iou(segmenter.click(801, 333).array, target)
    assert found[True] > 0.93 > found[False]


def test_a_first_drag_is_looked_at_where_it_is(runtime: ColourRuntime, photo: np.ndarray) -> None:
    segmenter = Segmenter(runtime, Settings(drag_margin=3.0)).set_image(photo)
    mask = segmenter.drag(300, 200, radius=40)
    # 40 * 3 to each side, before anything was found.
    assert runtime.encoded[1] == (segmenter.settings.zoom_size, segmenter.settings.zoom_size)
    assert metrics.iou(mask.array, disc(480, 640, 300, 200, 40)) > 0.97
    crops = len(runtime.encoded)
    segmenter.drag(320, 200, radius=10, positive=False)  # later drags stay in the crop of what was found
    assert len(runtime.encoded) == crops
    plain = Segmenter(runtime, Settings(drag_margin=0.0)).set_image(photo)
    whole = len(runtime.encoded)
    plain.drag(300, 200, radius=40)
    assert len(runtime.encoded) == whole + 1  # straight to the crop of what was found


def test_with_flip_the_mirrored_photograph_gets_the_mirrored_answer() -> None:
    torch.manual_seed(0)
    runtime = TorchRuntime(Saywhere(widths=(8, 8, 16, 16), key=8).eval(), "tiny")
    photo = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    answers = {}
    for flip in (False, True):
        settings = Settings(size=128, zoom=False, flip=flip, unclicked_components=0.0, previous_mask_from=2)
        one = Segmenter(runtime, settings).set_image(photo)
        other = Segmenter(runtime, settings).set_image(np.ascontiguousarray(photo[:, ::-1]))
        for x, y, positive in ((20, 30, True), (70, 60, False)):
            answers[flip] = one.click(x, y, positive).logits, other.click(127 - x, y, positive).logits[:, ::-1]
    assert np.allclose(*answers[True], atol=1e-4)
    assert not np.allclose(*answers[False], atol=1e-2)


def test_features_are_encoded_once_until_the_view_moves(segmenter: Segmenter, runtime: ColourRuntime) -> None:
    segmenter.click(300, 200)
    assert len(runtime.encoded) == 2  # the photograph and the closer crop
    segmenter.click(310, 210)
    segmenter.click(330, 200, positive=False)
    segmenter.undo()
    segmenter.click(290, 190)
    assert len(runtime.encoded) == 2
    segmenter.click(600, 460)  # far off: the crop must grow to hold it
    assert len(runtime.encoded) == 3


def test_the_previous_answer_is_shown_from_an_interaction_on(runtime: ColourRuntime, photo: np.ndarray) -> None:
    segmenter = Segmenter(runtime, Settings(previous_mask_from=3)).set_image(photo)
    for x in (300, 305, 310):
        segmenter.click(x, 200)
    *early, last = runtime.previous
    assert len(early) == 3  # two looks for the first click, one for the second
    assert all(shown is None for shown in early)
    assert last is not None
    assert last.max() > 0.9


def test_later_crops_show_the_same_pixels_at_another_size(runtime: ColourRuntime, photo: np.ndarray) -> None:
    settings = Settings(size=96, zoom_size=128, later_zoom_size=192, previous_mask_from=3)
    segmenter = Segmenter(runtime, settings).set_image(photo)
    masks = [segmenter.click(x, 200) for x in (300, 305, 310, 315)]
    assert [max(size) for size in runtime.encoded] == [96, 128, 192]
    assert [max(mask.crop.width, mask.crop.height) for mask in masks] == [128, 128, 192, 192]
    early, later = masks[1].crop, masks[2].crop
    assert later == early.resized(192) != early
    assert segmenter.undo() is masks[2]
    segmenter.reset()
    assert segmenter.click(300, 200).crop == masks[0].crop
    assert segmenter.start(masks[0].array).crop.width == 192  # the network sees this mask from the first click on


def test_undo_and_redo_give_the_very_masks(segmenter: Segmenter) -> None:
    masks = [segmenter.click(300, 200), segmenter.click(320, 200, positive=False), segmenter.drag(290, 190, radius=5)]
    assert segmenter.undo() is masks[1]
    assert segmenter.undo() is masks[0]
    assert len(segmenter.prompt) == 1
    assert segmenter.undo() is None
    assert segmenter.undo() is None
    assert segmenter.redo() is masks[0]
    assert segmenter.redo() is masks[1]
    other = segmenter.click(280, 200)
    assert segmenter.redo() is other  # what was undone is gone once something else is said
    assert [c.x for c in segmenter.prompt.clicks] == [300, 320, 280]


def test_a_drag_is_a_click_with_the_distance(segmenter: Segmenter) -> None:
    segmenter.drag(300, 200, to=(303, 204))
    assert segmenter.prompt.clicks == (Click(300, 200, True, 5.0),)
    with pytest.raises(SaywhereError, match="either to"):
        segmenter.drag(300, 200)


def test_reset_forgets_the_clicks_and_keeps_the_photograph(segmenter: Segmenter, runtime: ColourRuntime) -> None:
    segmenter.click(300, 200)
    segmenter.reset()
    assert segmenter.mask is None
    assert segmenter.redo() is None
    segmenter.click(300, 200)
    assert len(runtime.encoded) == 2


def test_objects_of_one_photograph_share_its_features(runtime: ColourRuntime, photo: np.ndarray) -> None:
    segmenter = Segmenter(runtime, Settings(size=320, zoom_size=320)).set_image(photo)
    segmenter.click(300, 200)
    other = segmenter.new_object()
    background = other.click(20, 20)
    assert background.array[20, 20]
    assert not background.array[200, 300]
    assert segmenter.mask is not None
    assert segmenter.mask.array[200, 300]
    assert len(runtime.encoded) == 2  # the background fills the photograph: no closer look, no second encoding


@pytest.mark.parametrize(("x", "y"), [(-1, 5), (640, 5), (5, 480), (5, -0.6)])
def test_a_click_outside_changes_nothing(segmenter: Segmenter, x: float, y: float) -> None:
    mask = segmenter.click(300, 200)
    with pytest.raises(SaywhereError, match="640x480"):
        segmenter.click(x, y)
    assert segmenter.mask is mask


def test_no_photograph_no_answer(runtime: ColourRuntime) -> None:
    with pytest.raises(SaywhereError, match="set_image"):
        Segmenter(runtime).click(1, 1)


def test_a_bad_photograph_leaves_the_old_one(segmenter: Segmenter, tmp_path: Path) -> None:
    mask = segmenter.click(300, 200)
    with pytest.raises(SaywhereError, match=r"nothing\.jpg"):
        segmenter.set_image(tmp_path / "nothing.jpg")
    assert segmenter.mask is mask


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (7, 3)])
def test_tiny_photographs_work(runtime: ColourRuntime, size: tuple[int, int]) -> None:
    segmenter = Segmenter(runtime).set_image(Image.new("RGB", size, "red"))
    mask = segmenter.click(0, 0)
    assert mask.array.shape == (size[1], size[0])
    assert mask.array.all()


def test_an_object_as_large_as_the_photograph_is_not_looked_at_twice(runtime: ColourRuntime) -> None:
    image = np.full((300, 400, 3), 9, np.uint8)
    Segmenter(runtime, Settings(size=320, zoom_size=320)).set_image(image).click(5, 5)
    assert len(runtime.encoded) == 1
    assert len(runtime.previous) == 1


def test_an_answer_of_nothing_is_a_mask_of_nothing(runtime: ColourRuntime, photo: np.ndarray) -> None:
    segmenter = Segmenter(runtime, Settings(zoom=False)).set_image(photo)
    segmenter.click(300, 200)
    for x in range(262, 342, 5):
        for y in range(162, 242, 5):
            segmenter.click(x, y, positive=False)
    assert segmenter.mask is not None
    assert not segmenter.mask.array.any()
    assert segmenter.mask.score >= 0.0


class TestPredict:
    def test_shapes_are_those_of_sam(self, segmenter: Segmenter) -> None:
        masks, scores, logits = segmenter.predict(np.array([[300, 200]]), np.array([1]))
        assert masks.shape == (1, 480, 640)
        assert masks.dtype == bool
        assert scores.shape == (1,)
        assert logits.shape == (1, 256, 256)
        assert logits.dtype == np.float32
        masks, scores, logits = segmenter.predict([[300, 200], [20, 20]], [1, 0], multimask_output=True)
        assert (masks.shape, scores.shape, logits.shape) == ((3, 480, 640), (3,), (3, 256, 256))
        assert masks[0].sum() <= masks[1].sum() <= masks[2].sum()

    def test_it_leaves_the_clicks_alone(self, segmenter: Segmenter) -> None:
        mask = segmenter.click(20, 20)
        segmenter.predict([[300, 200]], [1])
        assert segmenter.mask is mask

    def test_logits_go_in_again_where_they_came_out(self, segmenter: Segmenter, runtime: ColourRuntime) -> None:
        masks, _, logits = segmenter.predict([[300, 200]], [1])
        runtime.previous.clear()
        segmenter.predict([[300, 200]], [1], mask_input=logits)
        previous = runtime.previous[0]
        assert previous is not None
        assert previous.max() > 0.9  # in the crop that the given mask asks for
        assert metrics.iou(segmenter.predict([[300, 200]], [1], mask_input=logits)[0][0], masks[0]) > 0.98

    @pytest.mark.parametrize(("max_zoom_steps", "whole"), [(1, False), (2, True)])
    def test_an_object_that_outgrows_its_view_is_looked_at_again(
        self, runtime: ColourRuntime, photo: np.ndarray, max_zoom_steps: int, whole: bool
    ) -> None:
        segmenter = Segmenter(runtime, Settings(max_zoom_steps=max_zoom_steps)).set_image(photo)
        few = np.full((1, 256, 256), -8.0, np.float32)
        few[0, 74:86, 114:126] = 8.0  # 30 pixels of the photograph around the centre of the disc, which has 81
        masks, _, _ = segmenter.predict([[300, 200]], [1], mask_input=few)
        assert (metrics.iou(masks[0], disc(480, 640, 300, 200, 40)) > 0.97) == whole

    def test_bad_input_is_named(self, segmenter: Segmenter) -> None:
        for bad, words in (
            ({"point_coords": [[1, 2]], "point_labels": [1, 0]}, "point_labels"),
            ({"point_coords": [1, 2], "point_labels": [1]}, "point_coords"),
            ({"point_coords": [[1, 2]], "point_labels": [5]}, "give 1"),
            ({"point_coords": [[1, 2]], "point_labels": [2]}, "a 2 and a 3"),
            ({"point_coords": [[1, 2], [5, 6]], "point_labels": [2, 3]}, "understand no boxes"),
            ({"box": [1, 2, 3, 4]}, "understand no boxes"),
            ({"box": [1, 2, 3]}, "box of shape"),
            ({"point_coords": [[math.nan, 2]], "point_labels": [1]}, "finite"),
            ({"point_coords": [[1, 2]], "point_labels": None}, "point_labels"),
            ({}, "no prompt"),
            ({"point_coords": [[1, 2]], "point_labels": [1], "mask_input": np.zeros((1, 64, 64))}, "mask_input"),
            ({"point_coords": [[1, 2]], "point_labels": [1], "text": "tie"}, "phrases"),
        ):
            with pytest.raises(SaywhereError, match=words):
                segmenter.predict(**bad)


def test_one_runner_serves_segmenters_of_many_threads(photo: np.ndarray) -> None:
    runtime, found = ColourRuntime(), []

    def work() -> None:
        found.append(Segmenter(runtime).set_image(photo).click(300, 200).array.sum())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1


class TestStrays:
    """Pieces 1 (40 pixels), 2 (20), 3 (8) and 4 (1) of an answer."""

    pieces = np.full((20, 30), -3.0, np.float32)
    pieces[2:7, 2:10] = 4.0
    pieces[10:14, 2:7] = 2.0
    pieces[10:12, 20:24] = 5.0
    pieces[18, 28] = 1.0

    def kept(self, *clicks: Click, least: float = 0.5) -> list[bool]:
        found = remove_unclicked_components(self.pieces, clicks, least)
        assert (np.abs(found) == np.abs(self.pieces)).all(), "as unlikely as it was likely"
        return [bool(found[place] > 0) for place in ((4, 4), (11, 4), (10, 21), (18, 28))]

    def test_one_click_means_its_piece(self) -> None:
        assert self.kept(Click(3, 3)) == [True, False, False, False]
        assert self.kept(Click(21, 10)) == [False, False, True, False]
        assert self.kept(Click(3, 3), Click(25, 3, positive=False)) == [True, False, False, False]

    def test_several_clicks_leave_large_pieces(self) -> None:
        assert self.kept(Click(3, 3), Click(8, 5)) == [True, True, False, False]
        assert self.kept(Click(3, 3), Click(8, 5), least=0.2) == [True, True, True, False]
        assert self.kept(Click(3, 11), Click(28, 18)) == [True, True, False, True]

    def test_where_no_piece_is_clicked_all_stay(self) -> None:
        assert self.kept(Click(15, 15)) == [True] * 4
        assert self.kept(Click(3, 3, positive=False)) == [True] * 4

    def test_of_a_photograph(self, runtime: ColourRuntime) -> None:
        two = np.zeros((240, 320, 3), np.uint8)
        two[disc(240, 320, 80, 120, 30)] = two[disc(240, 320, 240, 120, 40)] = (220, 30, 20)
        for unclicked_components, second in ((0.5, False), (0.0, True)):
            mask = Segmenter(runtime, Settings(unclicked_components=unclicked_components)).set_image(two).click(80, 120)
            assert mask.array[120, 80]
            assert bool(mask.array[120, 240]) == second


def test_old_names_warn_and_work(runtime: ColourRuntime, photo: np.ndarray) -> None:
    segmenter = Segmenter(runtime)
    with pytest.warns(DeprecationWarning, match="image"):
        segmenter.set_image(photo=photo)
    mask = segmenter.click(300, 200)
    for old, new in (("view", "crop"), ("photo", "image_size")):
        with pytest.warns(DeprecationWarning, match=f"Mask.{new}"):
            assert getattr(mask, old) == getattr(mask, new)
    for old in ("another", "heat", "heat_seen", "scene"):
        with pytest.warns(DeprecationWarning, match=f"Segmenter.{old} is deprecated"):
            getattr(segmenter, old)


class TestStart:
    def test_a_known_mask_is_refined_by_clicks(self, segmenter: Segmenter, runtime: ColourRuntime) -> None:
        known = disc(480, 640, 300, 200, 40)
        known[:, :300] = False
        mask = segmenter.start(known)
        assert metrics.iou(mask.array, known) > 0.97
        assert segmenter.mask is mask
        assert segmenter.candidates == (mask,)
        runtime.previous.clear()
        whole = segmenter.click(280, 200)
        assert runtime.previous[-1] is not None, "the network sees the mask at the first click"
        assert runtime.previous[-1].max() > 0.99
        assert metrics.iou(whole.array, disc(480, 640, 300, 200, 40)) > 0.97
        assert segmenter.undo() is mask
        assert segmenter.undo() is None

    def test_what_it_had_stays_at_a_positive_click(self, segmenter: Segmenter) -> None:
        known = np.zeros((480, 640), bool)
        known[300:340, 100:180] = True
        segmenter.start(known)
        both = segmenter.click(300, 200).array
        assert both[200, 300]
        assert (both & known).sum() > 0.97 * known.sum()

    def test_without_its_phrase_it_is_the_known_mask_again(self, photo: np.ndarray) -> None:
        from annotator import RedRuntime

        segmenter = Segmenter(RedRuntime()).set_image(photo)
        known = disc(480, 640, 200, 300, 30)
        mask = segmenter.start(known)
        segmenter.say("ball")
        assert segmenter.say(None) is mask

    @pytest.mark.parametrize("bad", [np.zeros((480, 640), bool), np.ones((10, 10), bool), np.ones((480, 640)), None])
    def test_a_mask_that_is_none_changes_nothing(self, segmenter: Segmenter, bad: object) -> None:
        before = segmenter.click(300, 200)
        with pytest.raises(SaywhereError, match="the mask to start from"):
            segmenter.start(bad)
        assert segmenter.mask is before

    def test_a_single_pixel_of_a_large_image(self, runtime: ColourRuntime) -> None:
        segmenter = Segmenter(runtime).set_image(np.zeros((1500, 2000, 3), np.uint8))
        known = np.zeros((1500, 2000), bool)
        known[700, 900] = True
        assert segmenter.start(known).array[690:711, 890:911].any()
