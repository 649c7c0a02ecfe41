"""Several candidate masks, boxes, and clicks that only add, with runtimes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import disc
from saywhere import SaywhereError, Segmenter, Settings
from saywhere.core.prompt import Prompt
from saywhere.runtime.base import Capabilities, Runtime

PART, WHOLE = 40, 90
CENTRE = 300, 200


class PartsRuntime(Runtime):
    """Three candidates of a target: the whole, the red part in it, and all that is not background, in this order.

    The predicted IoU is ``scores``; a box or a phrase changes nothing but what is recorded.
    """

    name, digest = "parts", "0"
    capabilities = Capabilities(boxes=True, candidates=3)

    def __init__(self, scores: tuple[float, float, float] = (0.5, 0.9, 0.2)) -> None:
        self.scores = scores
        self.encoded: list[tuple[int, int]] = []
        self.prompts: list[Prompt] = []

    def encode(self, image: np.ndarray) -> np.ndarray:
        self.encoded.append(image.shape[:2])
        return image.astype(np.float32)

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        raise AssertionError("a Segmenter asks a network with candidates for all of them")

    def decode_candidates(
        self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        self.prompts.append(prompt)
        red, green = features[..., 0] > 128, features[..., 1] > 128
        masks = np.stack([red | green, red, features.max(2) > 32])
        return np.where(masks, 8.0, -8.0).astype(np.float32), np.array(self.scores, np.float32)


@pytest.fixture
def image() -> np.ndarray:
    """A red disc in a larger green one on black, and a dim one far off, 640x480."""
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[disc(480, 640, *CENTRE, WHOLE)] = (0, 220, 0)
    pixels[disc(480, 640, *CENTRE, PART)] = (220, 0, 0)
    pixels[disc(480, 640, 560, 400, 30)] = (60, 60, 60)
    return pixels


def segmenter_of(runtime: Runtime, image: np.ndarray, **settings: object) -> Segmenter:
    return Segmenter(runtime, Settings(**settings)).set_image(image)  # type: ignore[arg-type]


def radius_of(mask: np.ndarray) -> float:
    return float(np.sqrt(mask.sum() / np.pi))


class TestCandidates:
    def test_they_are_sorted_by_area_and_the_predicted_iou_chooses(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image, zoom=False, unclicked_components=0.0)
        assert segmenter.candidates == ()
        mask = segmenter.click(*CENTRE)
        assert [each.candidate for each in segmenter.candidates] == [1, 0, 2]
        assert [each.predicted_iou for each in segmenter.candidates] == pytest.approx([0.9, 0.5, 0.2])
        assert segmenter.candidate == 0
        assert segmenter.candidates[0] is mask is segmenter.mask
        assert radius_of(mask.array) == pytest.approx(PART, abs=1)
        assert segmenter.candidates[0].area_share == pytest.approx(mask.array.mean(), rel=0.05)
        areas = [each.array.sum() for each in segmenter.candidates]
        assert areas == sorted(areas)

    def test_the_crop_follows_the_chosen_one(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        part = segmenter.click(*CENTRE)
        whole = segmenter.choose(1)
        assert whole.crop.longer_side > part.crop.longer_side
        assert radius_of(whole.array) == pytest.approx(WHOLE, abs=1)
        assert (segmenter.mask, segmenter.candidate) == (whole, 1)

    def test_a_choice_is_an_interaction(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        part = segmenter.click(*CENTRE)
        whole = segmenter.choose(1)
        assert segmenter.interactions == 2
        assert len(segmenter.prompt) == 1
        assert segmenter.undo() is part
        assert segmenter.interactions == 1
        assert segmenter.redo() is whole
        assert segmenter.click(310, 200).candidate == 0
        assert segmenter.interactions == 3
        segmenter.reset()
        assert (segmenter.interactions, segmenter.candidates) == (0, ())
        assert segmenter.click(*CENTRE).candidate == 1

    @pytest.mark.parametrize("index", [-1, 3])
    def test_one_that_is_not_there_changes_nothing(self, image: np.ndarray, index: int) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        mask = segmenter.click(*CENTRE)
        with pytest.raises(SaywhereError, match=rf"candidate {index}: there are 3, from 0 to 2"):
            segmenter.choose(index)
        assert segmenter.mask is mask
        assert segmenter.interactions == 1

    def test_without_a_prompt_there_is_none(self, image: np.ndarray) -> None:
        with pytest.raises(SaywhereError, match="candidate 0: there is no mask yet"):
            segmenter_of(PartsRuntime(), image).choose(0)

    def test_later_clicks_keep_to_the_chosen_output_until_a_box(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        segmenter.click(*CENTRE)
        segmenter.choose(1)
        assert segmenter.click(300, 270).candidate == 0
        assert segmenter.click(5, 5, positive=False).candidate == 0
        assert segmenter.box(260, 160, 341, 241).candidate == 1

    def test_a_network_with_one_mask_has_one(self, image: np.ndarray) -> None:
        class One(PartsRuntime):
            capabilities = Capabilities()

            def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
                return PartsRuntime.decode_candidates(self, features, prompt, previous)[0][0]

        segmenter = segmenter_of(One(), image)
        mask = segmenter.click(*CENTRE)
        assert segmenter.candidates == (mask,)
        assert segmenter.choose(0) is mask
        assert (mask.predicted_iou, mask.candidate) == (None, 0)

    def test_a_candidate_that_nobody_reads_is_not_post_processed(
        self, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        processed: list[int] = []

        def count(logits: np.ndarray, *_: object) -> np.ndarray:
            processed.append(int((logits > 0).sum()))
            return logits

        monkeypatch.setattr("saywhere.interactive.decoding.remove_unclicked_components", count)
        segmenter = segmenter_of(PartsRuntime(), image, zoom=False)
        segmenter.click(*CENTRE)
        assert len(processed) == 1
        assert segmenter.candidates is segmenter.candidates
        assert len(processed) == 3

    def test_unclicked_components_and_refinement_are_for_each_candidate(
        self, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("saywhere.interactive.decoding.REFINEMENTS", {"graph-cut": lambda _, logits: logits - 9})
        segmenter = segmenter_of(PartsRuntime(), image, zoom=False, refine="graph-cut")
        segmenter.click(*CENTRE)
        everything = next(mask for mask in segmenter.candidates if mask.candidate == 2)
        assert everything.logits[100, 150] > 0
        assert everything.logits[200, 280] < 0  # the dim disc is removed
        assert not any(mask.array.any() for mask in segmenter.candidates)

    def test_a_wrong_setting_is_named(self, image: np.ndarray) -> None:
        with pytest.raises(SaywhereError, match="candidate_choice 'last': choose every, first"):
            segmenter_of(PartsRuntime(), image, candidate_choice="last")


class ClosePart(PartsRuntime):
    """Prefers the whole in the first crop, and the part in every closer one."""

    def decode_candidates(
        self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        self.scores = (0.9, 0.5, 0.2) if len(self.prompts) == 0 else (0.5, 0.9, 0.2)
        return super().decode_candidates(features, prompt, previous)


@pytest.mark.parametrize(("choice", "radius"), [("every", PART), ("first", WHOLE)])
def test_the_first_crop_or_every_crop_chooses(image: np.ndarray, choice: str, radius: int) -> None:
    mask = segmenter_of(ClosePart(), image, candidate_choice=choice).click(*CENTRE)
    assert radius_of(mask.array) == pytest.approx(radius, abs=1)


class TestBox:
    def test_its_first_crop_is_around_it(self, image: np.ndarray) -> None:
        runtime = PartsRuntime()
        segmenter = segmenter_of(runtime, image)
        mask = segmenter.box(260, 160, 341, 241)
        crop = mask.crop
        assert (crop.right - crop.left) == pytest.approx(81 * Settings.zoom_margin, abs=2)
        assert len(runtime.prompts) == 1  # the part fills the box, so the crop stays
        box, scale = runtime.prompts[0].box, segmenter.settings.zoom_size / 138
        assert box is not None
        assert box == pytest.approx([(260 - crop.left) * scale, (160 - crop.top) * scale, *box[2:]], abs=1)
        assert segmenter.prompt.box == (260, 160, 341, 241)
        assert segmenter.interactions == 1
        assert segmenter.undo() is None
        assert segmenter.redo() is mask

    def test_the_candidate_whose_own_box_is_like_it_is_chosen(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        whole = segmenter.box(300 - WHOLE, 200 - WHOLE, 301 + WHOLE, 201 + WHOLE)
        assert (whole.candidate, whole.predicted_iou) == (0, pytest.approx(0.5))
        assert segmenter.box(300 - PART, 200 - PART, 301 + PART, 201 + PART).candidate == 1

    def test_a_mask_ends_near_it_unless_a_click_says_otherwise(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime((0.9, 0.0, 0.0)), image)
        mask = segmenter.box(220, 110, 300, 291)
        columns = np.flatnonzero(mask.array.any(0))
        assert columns[-1] == pytest.approx(300 + 0.05 * 181, abs=1.5)
        assert columns[0] == pytest.approx(300 - WHOLE, abs=2)  # within the tolerance beyond the box's left edge
        assert np.flatnonzero(segmenter.click(380, 200).array.any(0))[-1] == pytest.approx(300 + WHOLE, abs=2)

    def test_the_crop_is_that_of_the_box_whatever_the_mask_is(self, image: np.ndarray) -> None:
        runtime = PartsRuntime((0.9, 0.0, 0.0))
        segmenter = segmenter_of(runtime, image)
        crop = segmenter.box(200, 100, 401, 301).crop
        assert segmenter.click(*CENTRE).crop == crop
        assert len(runtime.encoded) == 2  # the whole image, then the crop

    def test_it_goes_with_clicks_and_is_replaced(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        segmenter.click(*CENTRE)
        segmenter.box(200, 100, 400, 300)
        segmenter.click(5, 5, positive=False)
        assert (len(segmenter.prompt), segmenter.interactions) == (3, 3)
        segmenter.box(190, 90, 410, 310)
        assert segmenter.prompt.box == (190, 90, 410, 310)
        assert segmenter.interactions == 3

    def test_a_click_outside_it_is_in_the_crop(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        segmenter.click(20, 20)
        crop = segmenter.box(260, 160, 341, 241).crop
        assert (crop.left, crop.top) == (0, 0)

    def test_the_whole_image_without_zoom(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image, zoom=False)
        assert segmenter.box(260, 160, 341, 241).crop == segmenter.encoded.full_crop

    @pytest.mark.parametrize(
        ("box", "words"),
        [
            ((5, 5, 5, 9), "empty"),
            ((9, 5, 5, 9), "reversed"),
            ((700, 5, 800, 9), "outside"),
            ((0, 0, np.nan, 9), "fin"),
        ],
    )
    def test_a_bad_one_changes_nothing(
        self, image: np.ndarray, box: tuple[float, float, float, float], words: str
    ) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        with pytest.raises(SaywhereError, match=words):
            segmenter.box(*box)
        assert segmenter.interactions == 0

    def test_a_network_without_boxes_refuses(self, image: np.ndarray) -> None:
        runtime = PartsRuntime()
        runtime.capabilities = Capabilities(candidates=3)
        with pytest.raises(SaywhereError, match="'parts' understand no boxes"):
            segmenter_of(runtime, image).box(1, 2, 3, 4)


class ForgetfulRuntime(Runtime):
    """The whole green disc after one positive click, only its right half after several."""

    name, digest = "forgetful", "0"
    capabilities = Capabilities(boxes=True)

    def encode(self, image: np.ndarray) -> np.ndarray:
        return image.astype(np.float32)

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        inside = features.max(2) > 128
        positive = [click for click in prompt.clicks if click.positive]
        if len(prompt.clicks) > 1:
            inside[:, : round(positive[0].x)] = False
        return np.where(inside, 8.0, -8.0).astype(np.float32)


class TestKeepClicked:
    @pytest.mark.parametrize("zoom", [False, True])
    @pytest.mark.parametrize("refine", [None, "graph-cut"])
    def test_a_further_positive_click_takes_nothing_away(
        self, image: np.ndarray, zoom: bool, refine: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("saywhere.interactive.decoding.REFINEMENTS", {"graph-cut": lambda image, logits: logits})
        kept = segmenter_of(ForgetfulRuntime(), image, zoom=zoom, refine=refine)
        lost = segmenter_of(ForgetfulRuntime(), image, zoom=zoom, refine=refine, keep_clicked=False)
        for segmenter in (kept, lost):
            before = segmenter.click(*CENTRE)
            after = segmenter.click(370, 200)
            missing = before.array & ~after.array
            if segmenter is kept:
                assert not missing.any()
            else:
                assert missing.sum() > 0.4 * before.array.sum()

    def test_not_even_outside_the_crop(self, image: np.ndarray) -> None:
        """What the network gives after the second click fills a smaller crop, which would cut off the mask before."""
        segmenter = segmenter_of(ForgetfulRuntime(), image, zoom_margin=1.1)
        before = segmenter.click(*CENTRE)
        after = segmenter.drag(380, 200, radius=4)
        assert (before.array & ~after.array).sum() < 0.01 * before.array.sum()  # resampling at the edge

    def test_a_negative_click_takes_away(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(ForgetfulRuntime(), image)
        before = segmenter.click(*CENTRE)
        assert segmenter.click(250, 200, positive=False).array.sum() < 0.6 * before.array.sum()

    def test_what_a_box_alone_gave_may_be_another_object(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(ForgetfulRuntime(), image)
        segmenter.click(370, 200, positive=False)
        boxed = segmenter.box(200, 100, 400, 300)
        assert (
            segmenter.click(*CENTRE).array.sum()
            < 0.6 * segmenter_of(ForgetfulRuntime(), image).click(*CENTRE).array.sum()
        )
        assert boxed.array.any()


class TestPredict:
    def test_all_candidates_in_their_own_crops(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        masks, scores, logits = segmenter.predict([CENTRE], [1], multimask_output=True)
        assert masks.shape == (3, 480, 640)
        assert masks.dtype == np.bool_
        assert logits.shape == (3, 256, 256)
        assert scores == pytest.approx([0.9, 0.5, 0.2])
        assert [radius_of(mask) for mask in masks] == pytest.approx([PART, WHOLE, WHOLE], abs=1)
        one, score, _ = segmenter.predict([CENTRE], [1])
        assert (one[0] == masks[0]).all()
        assert score == pytest.approx([0.9])
        assert segmenter.interactions == 0

    @pytest.mark.parametrize(
        "given",
        [
            {"box": [200, 100, 400, 300]},
            {"box": np.array([[200, 100, 400, 300]], np.float32)},
            {"point_coords": [[200, 100], [400, 300]], "point_labels": [2, 3]},
            {"point_coords": [[400, 300], [0, 0], [200, 100]], "point_labels": [3, -1, 2]},
        ],
    )
    def test_a_box_in_sams_forms(self, image: np.ndarray, given: dict[str, object]) -> None:
        runtime = PartsRuntime()
        masks, _, _ = segmenter_of(runtime, image, zoom=False).predict(**given)  # type: ignore[arg-type]
        assert masks.shape == (1, 480, 640)
        assert runtime.prompts[0] == Prompt(box=(100.0, 50.0, 200.0, 150.0))

    def test_two_boxes_are_refused(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        corners = {"point_coords": [[200, 100], [400, 300]], "point_labels": [2, 3]}
        with pytest.raises(SaywhereError, match="not both"):
            segmenter.predict(**corners, box=[1, 2, 3, 4])  # type: ignore[arg-type]
        with pytest.raises(SaywhereError, match="outside"):
            segmenter.predict(box=[700, 2, 800, 4])


def test_candidates_of_the_network_are_mirrored_each() -> None:
    """With ``flip``, the mirrored image with the mirrored prompt has the mirrored candidates and the same scores."""
    torch = pytest.importorskip("torch")
    from saywhere.models.saywhere import Saywhere
    from saywhere.runtime.torch import TorchRuntime

    torch.manual_seed(0)
    model = Saywhere(widths=(8, 8, 16, 16), key=8, candidates=3, box=True).eval()
    torch.nn.init.normal_(model.candidate_scores.last.weight)
    pixels = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    both = []
    for image in (pixels, np.ascontiguousarray(pixels[:, ::-1])):
        mirrored = image is not pixels
        segmenter = segmenter_of(
            TorchRuntime(model, "tiny"), image, size=128, zoom=False, flip=True, unclicked_components=0.0
        )
        segmenter.click(127 - 20 if mirrored else 20, 30)
        segmenter.box(*((128 - 90, 10, 128 - 5, 70) if mirrored else (5, 10, 90, 70)))
        both.append({mask.candidate: mask for mask in segmenter.candidates})
    for output, mask in both[0].items():
        assert np.allclose(mask.logits, both[1][output].logits[:, ::-1], atol=1e-4)
        assert mask.predicted_iou == pytest.approx(both[1][output].predicted_iou, abs=1e-4)
    assert len({round(mask.predicted_iou, 4) for mask in both[0].values()}) == 3
