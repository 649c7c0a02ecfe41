"""A photograph is the replay of its events; masks survive packing; strokes paint what they touch."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from saywhere.annotate import brush
from saywhere.annotate.brush import StrokeLayers, apply_strokes, rasterise
from saywhere.annotate.events import Event, EventHistory, ImageState
from saywhere.annotate.interactions import BrushStroke
from saywhere.annotate.region import EMPTY_REGION, Region
from saywhere.core.geometry import ImageSize

CLICK = {"x": 1.0, "y": 2.0, "positive": True, "radius": None, "label": 7, "proposed": False}


def replay(events: list[Event]) -> ImageState:
    return EventHistory.replay(events).state


def story(kinds: list[str]) -> list[Event]:
    """Events of the given kinds, each allowed where it stands; object 1 throughout."""
    events: list[Event] = []
    for kind in kinds:
        before = replay(events)
        if (kind == "undo" and not before.can_undo) or (kind == "redo" and not before.can_redo):
            continue
        seq = len(events) + 1
        if kind in ("undo", "redo"):
            events.append(Event(seq, kind, None, {}))
        elif kind == "mark":
            events.append(Event(seq, kind, None, {"value": "done"}))
        elif kind == "delete" and 1 not in before.objects:
            continue
        else:
            data = {"click": CLICK, "label": {"label": seq}, "delete": {}, "phrase": {"text": f"dog {seq}"}}[kind]
            events.append(Event(seq, kind, 1, data, masked=kind in ("click", "phrase"), score=0.9, area=seq))
    return events


KINDS = st.lists(st.sampled_from(["click", "phrase", "label", "delete", "mark", "undo", "redo"]), max_size=25)


class TestReplay:
    def test_a_click_begins_an_object_with_its_label(self) -> None:
        state = replay(story(["click"]))
        assert state.objects[1].label == 7
        assert state.objects[1].mask == 1
        assert (state.status, state.active, state.can_undo, state.can_redo) == ("started", 1, True, False)

    @given(KINDS)
    def test_undo_then_redo_changes_nothing(self, kinds: list[str]) -> None:
        events = story(kinds)
        before = replay(events)
        if not before.can_undo:
            return
        seq = len(events)
        after = replay([*events, Event(seq + 1, "undo", None, {}), Event(seq + 2, "redo", None, {})])
        assert (after.objects, after.mark, after.active) == (before.objects, before.mark, before.active)

    @given(KINDS)
    def test_undo_of_the_last_is_the_state_before_it(self, kinds: list[str]) -> None:
        events = story(kinds)
        if not events or events[-1].kind in ("undo", "redo"):
            return
        before = replay(events[:-1])
        after = replay([*events, Event(len(events) + 1, "undo", None, {})])
        assert (after.objects, after.mark, after.active) == (before.objects, before.mark, before.active)
        assert after.can_redo

    @given(KINDS)
    def test_everything_can_be_undone(self, kinds: list[str]) -> None:
        events = story(kinds)
        while replay(events).can_undo:
            events.append(Event(len(events) + 1, "undo", None, {}))
        state = replay(events)
        assert not state.objects
        assert state.status == "new"

    def test_undo_beyond_the_kept_states_replays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("saywhere.annotate.events.MAX_STATES", 3)
        events = story(["click", "phrase", "label"] * 4)
        history = EventHistory.replay(events)
        for undone in range(1, 13):
            history = history.extended([Event(12 + undone, "undo", None, {})])
            assert history.state.objects == replay(events[: 12 - undone]).objects
            assert len(history.before) <= 3

    def test_a_new_action_ends_redo(self) -> None:
        state = replay(story(["click", "click", "undo", "label"]))
        assert not state.can_redo
        assert len(state.objects[1].interactions) == 1

    def test_going_on_opens_a_photograph_that_was_done(self) -> None:
        assert replay(story(["click", "mark"])).status == "done"
        assert replay(story(["click", "mark", "click"])).status == "started"

    def test_numbers_are_not_given_twice(self) -> None:
        assert replay(story(["click", "undo"])).next_id == 2
        assert replay(story(["click", "delete"])).next_id == 2


class TestMasks:
    @given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**32 - 1))
    def test_packing_is_cocos(self, h: int, w: int, below: int, right: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        left, top = int(rng.integers(0, 4)), int(rng.integers(0, 4))
        size = ImageSize(top + h + below, left + w + right)
        full = np.zeros(size, np.bool_)
        inside = rng.random((h, w)) < 0.6
        full[top : top + h, left : left + w] = inside
        packed = Region(left, top, inside).encode(size)
        expected = coco.encode(np.asfortranarray(full, dtype=np.uint8))["counts"]
        assert packed == expected
        back = Region.decode(packed, size)
        assert (back.to_image(size) == full).all()

    def test_packing_in_parts_is_packing_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("saywhere.core.rle._CHUNK", 20)
        rng = np.random.default_rng(5)
        for height, width, top in [(6, 11, 0), (6, 11, 2), (5, 3, 1), (4, 7, 0)]:
            for share in (0.5, 1.0):
                inside, size = rng.random((height, width)) < share, ImageSize(height + 2 * top, width + 4)
                full = np.zeros(size, np.uint8, order="F")
                full[top : top + height, 2 : 2 + width] = inside
                assert Region(2, top, inside).encode(size) == coco.encode(full)["counts"]

    def test_an_empty_region(self) -> None:
        assert Region.decode(EMPTY_REGION.encode(ImageSize(5, 7)), ImageSize(5, 7)).area == 0


class TestBrush:
    @pytest.mark.parametrize("paint", [True, False])
    def test_a_stroke_is_all_within_its_radius(self, paint: bool) -> None:
        size = ImageSize(60, 80)
        start = Region(0, 0, np.full(size, not paint))
        region = apply_strokes(start, [BrushStroke(paint, 6.0, ((10.0, 20.0), (40.0, 20.0)))], size)
        rows, columns = np.mgrid[: size.height, : size.width]
        far = np.hypot(np.maximum(np.maximum(10 - columns, columns - 40), 0), rows - 20)
        assert (region.mask[far <= 5.9] == paint).all()
        assert (region.mask[far > 6.1] != paint).all()

    @pytest.mark.parametrize("radius", [300.0, 600.0, 1500.0])
    def test_a_wide_stroke_is_drawn_in_tiles(self, radius: float) -> None:
        size = ImageSize(3000, 4000)
        stroke = BrushStroke(True, radius, ((-500.0, 900.0), (2500.0, 900.0)))
        mask = rasterise(stroke, size).to_image(size)[::5, ::5]
        rows, columns = np.mgrid[: size.height : 5, : size.width : 5]
        distance = np.hypot(np.maximum(columns - 2500, 0), rows - 900)
        assert (np.abs(distance - radius)[mask != (distance <= radius)] < 0.5 + 0.002 * radius).all()

    def test_a_stroke_is_clipped_to_the_image(self) -> None:
        """Its memory does not grow with what lies outside."""
        size = ImageSize(300, 400)
        stroke = BrushStroke(True, 2000.0, tuple((x * 1e4, y * 1e4) for x in (-9, 9) for y in (-9, 9)))
        tracemalloc.start()
        assert rasterise(stroke, size).mask.shape == size
        assert tracemalloc.get_traced_memory()[1] < 40e6
        tracemalloc.stop()

    @given(st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.integers(-5, 45), st.integers(-5, 35)), max_size=8))
    def test_a_layer_does_what_its_strokes_do(self, drawn: list[tuple[bool, int, int, int]]) -> None:
        size, layers = ImageSize(30, 40), StrokeLayers()
        strokes = tuple(BrushStroke(paint, radius, ((x, y), (x + 5.0, y))) for paint, radius, x, y in drawn)
        start = Region(8, 6, np.ones((14, 20), np.bool_))
        for count in (*range(len(strokes) + 1), 1, 0):  # forwards, and after an undo
            layer = layers.layer((1, 1), strokes[:count], size)
            expected = apply_strokes(start, strokes[:count], size).to_image(size)
            assert (layer.apply(start).to_image(size) == expected).all()

    def test_each_stroke_is_drawn_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        size, layers = ImageSize(30, 40), StrokeLayers()
        strokes: tuple[BrushStroke, ...] = ()
        counted: list[BrushStroke] = []
        monkeypatch.setattr(brush, "rasterise", lambda stroke, size: (counted.append(stroke), EMPTY_REGION)[1])
        for number in range(20):
            strokes = (*strokes, BrushStroke(True, 2.0, ((float(number), 5.0),)))
            layers.layer((1, 1), strokes, size)
        assert counted == list(strokes)

    def test_painting_begins_an_object_and_stays_inside(self) -> None:
        region = apply_strokes(EMPTY_REGION, [BrushStroke(True, 5.0, ((0.0, 0.0),))], ImageSize(20, 30))
        assert (region.left, region.top) == (0, 0)
        assert Region.decode(region.encode(ImageSize(20, 30)), ImageSize(20, 30)).area == region.area > 10

    def test_erasing_where_nothing_is_changes_nothing(self) -> None:
        start = Region(5, 5, np.ones((3, 3), np.bool_))
        assert apply_strokes(start, [BrushStroke(False, 2.0, ((25.0, 15.0),))], ImageSize(20, 30)).area == 9

    def test_a_stroke_outside_paints_nothing(self) -> None:
        assert apply_strokes(EMPTY_REGION, [BrushStroke(True, 2.0, ((-50.0, -50.0),))], ImageSize(20, 30)).area == 0
