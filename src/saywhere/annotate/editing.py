"""One action, from the request to the committed event."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from saywhere.annotate.actions import (  # fmt: skip
    Action,
    ActionRequest,
    AttributeAction,
    BoxAction,
    BrushAction,
    CandidateAction,
    ClickAction,
    CommentAction,
    ComputedMask,
    CopyAction,
    CorrectionAction,
    InstancesAction,
    MarkAction,
    ObjectAction,
    OrderAction,
    PhraseAction,
    PolygonAction,
    RectangleAction,
    RedoAction,
    ResolveAction,
    ReviewAction,
    ThresholdAction,
    UndoAction,
)
from saywhere.annotate.attributes import AttributeDefinition, current_values
from saywhere.annotate.brush import StrokeLayers, apply_strokes
from saywhere.annotate.checks import (
    check_attribute,
    check_choice,
    check_review,
    check_room,
    check_undo,
    check_unlocked,
    z_order,
)
from saywhere.annotate.computed import BrowserNetwork, check_computable, computed_event
from saywhere.annotate.corrections import correct, polygon_region
from saywhere.annotate.db.labels import definitions_of
from saywhere.annotate.db.locks import ImageLockedError
from saywhere.annotate.db.store import Author, ConflictError, NewEvent, Store
from saywhere.annotate.db.tables import ImageRow
from saywhere.annotate.events import Event, ImageState, ObjectState, apply_to_object
from saywhere.annotate.image_folder import LoadedImage
from saywhere.annotate.images import ImageLoader
from saywhere.annotate.inference.candidates import distinct_candidates, same_candidates
from saywhere.annotate.inference.queue import InferenceQueue
from saywhere.annotate.inference.segmenters import SegmenterCache
from saywhere.annotate.interactions import BrushStroke, Candidates
from saywhere.annotate.region import EMPTY_REGION, Region
from saywhere.annotate.regions import RegionStore
from saywhere.core.geometry import ImageSize
from saywhere.core.mask import Mask
from saywhere.core.prompt import checked_box
from saywhere.errors import SaywhereError

# What a study lets people use: interactions of one kind are compared with those of another.
STUDIES: Final[Mapping[str, frozenset[str]]] = {
    "click": frozenset({"click"}),
    "phraseclick": frozenset({"click", "phrase"}),
    "drag": frozenset({"click", "drag"}),
}
INTERACTIONS = (ClickAction, BoxAction, CandidateAction, PhraseAction, BrushAction)
STUDIED = (
    *INTERACTIONS,
    InstancesAction,
    CorrectionAction,
    PolygonAction,
    RectangleAction,
    CopyAction,
)  # what a study limits


@dataclass(frozen=True)
class StateChange:
    """An image's state with the masks that a page does not have yet.

    Args:
        image: number of the image.
        state: the state.
        masks: compressed run lengths by the numbers of the events that they are stored with.
        size: size of the image.
        note: what a person should know besides, in one line.
    """

    image: int
    state: ImageState
    masks: Mapping[int, bytes]
    size: ImageSize
    note: str | None = None


class Editor:
    """Carries out actions: checks, computes masks, stores events."""

    def __init__(
        self,
        store: Store,
        images: ImageLoader,
        segmenters: SegmenterCache,
        queue: InferenceQueue,
        regions: RegionStore,
        study: str | None = None,
        network: BrowserNetwork | None = None,
    ) -> None:
        """``study`` limits interactions to those of one of the :data:`STUDIES`; pages may compute by ``network``."""
        if study is not None and study not in STUDIES:
            raise SaywhereError(f"--study '{study}': choose {', '.join(STUDIES)}")
        self._store, self._images, self._segmenters = store, images, segmenters
        self._queue, self._regions, self.study, self._network = queue, regions, study, network
        self._layers = StrokeLayers()

    def edit(self, id: int, request: ActionRequest, author: Author) -> StateChange:
        """Do an action: on return it is on the disk.

        Args:
            id: number of the image.
            request: the action.
            author: who sent it.

        Returns:
            The new state; of the masks those that changed since ``request.base``, or all of them where the action
            had been done before and its answer was lost.

        Raises:
            ImageLockedError: somebody else is editing the image.
            ConflictError: the image changed since ``request.base``.
            SaywhereError: the action cannot be done. In all cases nothing is stored.
        """
        row = self._store.image(id)
        if self._store.has_event(id, request.key):
            return self.change(row, ImageState(), self._store.history(id).state)
        holder = self._store.other_holder(id, author)
        if holder is not None:
            raise ImageLockedError(id, holder)
        history = self._store.history(id)
        before = history.state
        if before.seq != request.base:
            raise ConflictError(f"image {id}: changed since (now {before.seq}, seen {request.base}); load it again")
        check_undo(history, request.action, author.person)
        prepared = self._prepare(row, before, request, author)
        # The time that an action took is shared by the objects that it was done to.
        took = None if request.took_ms is None else request.took_ms // len(prepared)
        corrects = {"corrects": True} if before.mark == "done" else {}  # what is done stays done
        events = [
            replace(event, took_ms=took, data=event.data if event.object is None else {**event.data, **corrects})
            for event, _ in prepared
        ]
        try:
            after = self._store.append_events(id, history, request.key, author, events).state
        except ConflictError:
            if self._store.has_event(id, request.key):  # the same request came twice at once
                return self.change(row, ImageState(), self._store.history(id).state)
            raise
        first = after.seq - len(events) + 1
        for seq, (_, region) in enumerate(prepared, first):
            if region is not None:
                self._regions.keep(id, seq, region)
        masks = {seq: event.mask for seq, event in enumerate(events, first) if event.mask is not None}
        return self.change(row, before, after, masks)

    def change(
        self, row: ImageRow, before: ImageState, after: ImageState, new_masks: Mapping[int, bytes] | None = None
    ) -> StateChange:
        """What a page that has seen ``before`` needs to show ``after``; masks in ``new_masks`` are not read again."""
        known, available = {one.mask for one in before.objects.values()}, new_masks or {}
        needed = [one.mask for one in after.objects.values() if one.mask is not None and one.mask not in known]
        masks = {number: available[number] for number in needed if number in available}
        masks |= self._store.load_masks(row.id, [number for number in needed if number not in masks])
        shown = self.labelled_now(after)
        return StateChange(row.id, shown, masks, ImageSize(row.height or 0, row.width or 0))

    def labelled_now(self, state: ImageState) -> ImageState:
        """The state with the labels that merged and deleted ones became, and the present names of attributes."""
        replaced = self._store.labels.replaced()
        if not any(one.label in replaced or one.attributes for one in state.objects.values()):
            return state
        objects = {id: replace(one, label=replaced.get(one.label or 0, one.label)) for id, one in state.objects.items()}
        labels = self._store.all_labels()
        for id, one in objects.items():
            if one.attributes and one.label in labels:
                definitions = definitions_of(labels[one.label])
                objects[id] = replace(one, attributes=current_values(one.attributes, definitions))
        return replace(state, objects=objects)

    def _definitions(self, label: int | None) -> list[AttributeDefinition]:
        """The attributes of the objects of a label."""
        row = self._store.all_labels().get(label or 0)
        return [] if row is None else definitions_of(row)

    def label_name(self, state: ObjectState) -> str | None:
        """The name of an object's label; None in a study, whose interactions are compared without learning."""
        if self.study is not None or state.label is None:
            return None
        label = self._store.all_labels().get(state.label)
        return None if label is None else label.name

    def _prepare(
        self, row: ImageRow, before: ImageState, request: ActionRequest, author: Author
    ) -> list[tuple[NewEvent, Region | None]]:
        """The events to store, each with its mask if it changes one."""
        action = request.action
        if request.computed is not None:
            check_computable(action, self._network)
        if isinstance(action, UndoAction | RedoAction):
            possible = before.can_undo if isinstance(action, UndoAction) else before.can_redo
            if not possible:
                raise SaywhereError(f"{action.kind}: there is nothing to {action.kind}")
            return [(NewEvent(action.kind, None, {}), None)]
        data = action.model_dump(exclude={"kind", "object"})
        if isinstance(action, MarkAction):
            return [(NewEvent(action.kind, None, data), None)]
        if isinstance(action, ReviewAction | CommentAction | ResolveAction):
            check_review(before, action)
            return [(NewEvent(action.kind, None, action.model_dump(exclude={"kind"})), None)]
        self._check_study(action)
        self._check_label(getattr(action, "label", None))
        if isinstance(action, InstancesAction):
            return self._instances(row, before, action, author)
        if isinstance(action, CopyAction):
            return self._copies(row, before, action)
        if isinstance(action, ObjectAction) and action.object is None:
            check_room(row, before, 1)
            state = ObjectState(before.next_id, label=action.label)
        else:
            assert action.object is not None, "only actions that may begin an object go without one"
            state = before.object(action.object)
            check_unlocked(state, action)
        if isinstance(action, PhraseAction) and action.text is not None:
            named = self._store.labels.named(action.text)
            data |= {} if named is None else {"names": named.id}
        event = NewEvent(action.kind, state.id, data)
        if isinstance(action, (*INTERACTIONS, ThresholdAction)):
            return [self._with_mask(row, state, event, author, request.computed)]
        if isinstance(action, CorrectionAction | PolygonAction):
            return [self._corrected(row, state, action)]
        if isinstance(action, RectangleAction):
            event = replace(event, data={**data, "box": checked_box(action.box, self._images.load(row).size)})
        elif isinstance(action, OrderAction):
            event = replace(event, data={**data, "z_order": z_order(before, state, action)})
        elif isinstance(action, AttributeAction):
            event = replace(event, data={**data, "former": check_attribute(action, self._definitions(state.label))})
        return [(event, None)]

    def _copies(self, row: ImageRow, before: ImageState, action: CopyAction) -> list[tuple[NewEvent, Region | None]]:
        """An object for each one of another image that is copied, with its label, attributes and order."""
        source, size = self._store.image(action.image), self._images.load(row).size
        there = self._store.history(source.id).state
        states = list(there.objects.values()) if action.objects is None else [there.object(n) for n in action.objects]
        states = [one for one in states if one.area or one.rectangle]
        if not states:
            raise SaywhereError(f"copy: image '{source.path}' has no object to copy")
        if (source.height, source.width) != tuple(size):
            raise SaywhereError(
                f"copy: image '{source.path}' is {source.width}x{source.height}, '{row.path}' "
                f"{size.width}x{size.height} pixels; objects are copied to an image of the same size"
            )
        check_room(row, before, len(states))
        prepared: list[tuple[NewEvent, Region | None]] = []
        for id, one in enumerate(states, before.next_id):
            region = self._region(source, one, size) if one.area else None
            data = {
                "image": source.id, "object": one.id, "label": one.label, "z_order": one.z_order,
                "attributes": dict(one.attributes), "rectangle": one.rectangle,
            }  # fmt: skip
            event = NewEvent("copy", id, data)
            if region is not None:
                event = replace(event, mask=region.encode(size), area=region.area)
            prepared.append((event, region))
        return prepared

    def _corrected(
        self, row: ImageRow, state: ObjectState, action: CorrectionAction | PolygonAction
    ) -> tuple[NewEvent, Region]:
        """The event of a lasso, a polygon, or the filling of holes, with the object's mask after it."""
        started = time.perf_counter()
        size = self._images.load(row).size
        data, score = action.model_dump(exclude={"kind", "object"}), state.score
        if isinstance(action, PolygonAction):
            region, score = polygon_region(action, size), None
        else:
            before = self._region(row, state, size)
            change = correct(action, before, size)
            region, data = before.without(change.erased).united(change.painted), data | change.as_data(size)
        event = NewEvent(
            action.kind, state.id, data, mask=region.encode(size), area=region.area, score=score,
            weights=self._segmenters.runtime.digest,
            spent_ms=1000.0 * (time.perf_counter() - started),
        )  # fmt: skip
        return event, region

    def _region(self, row: ImageRow, state: ObjectState, size: ImageSize) -> Region:
        """An object's pixels."""
        if state.mask is None:
            return EMPTY_REGION
        return self._regions.load(row.id, [state.mask], size).get(state.mask, EMPTY_REGION)

    def _instances(
        self, row: ImageRow, before: ImageState, action: InstancesAction, author: Author
    ) -> list[tuple[NewEvent, Region | None]]:
        """An object for each proposed instance that was accepted."""
        check_room(row, before, len(action.instances))
        prepared: list[tuple[NewEvent, Region | None]] = []
        for id, instance in enumerate(action.instances, before.next_id):
            self._check_label(instance.label)
            named = None if instance.phrase is None else self._store.labels.named(instance.phrase)
            label = instance.label if named is None else named.id
            event = NewEvent("instance", id, {**instance.model_dump(), "label": label})
            prepared.append(self._with_mask(row, ObjectState(id, label=label), event, author))
        return prepared

    def _with_mask(
        self, row: ImageRow, state: ObjectState, event: NewEvent, author: Author, computed: ComputedMask | None = None
    ) -> tuple[NewEvent, Region]:
        started = time.perf_counter()
        image = self._images.load(row)
        if event.data.get("box") is not None:
            event = replace(event, data={**event.data, "box": checked_box(event.data["box"], image.size)})
        after = apply_to_object(state, Event(0, event.kind, state.id, event.data))
        if computed is not None:
            return self._computed(row, image, after, event, computed)
        if event.kind == "brush":
            region, score = self._brush(row, image, after), state.score
        elif after.is_prompted:
            label = self.label_name(after)
            work = self._queue.submit(
                author.client, lambda: self._segment(row, image, after, event.kind, label), image=image.sha256
            )
            region, score, candidates = work.result()
            if event.kind != "threshold":
                event = replace(event, data={**event.data, **candidates.as_data()})
        else:
            raise SaywhereError(f"{event.kind}: object {state.id}: the network was not asked for it; click on it first")
        event = replace(
            event, mask=region.encode(image.size), area=region.area, score=score,
            weights=self._segmenters.runtime.digest, spent_ms=1000.0 * (time.perf_counter() - started),
        )  # fmt: skip
        return event, region

    def _computed(
        self, row: ImageRow, image: LoadedImage, after: ObjectState, event: NewEvent, computed: ComputedMask
    ) -> tuple[NewEvent, Region]:
        """An event whose mask a page computed, with the object's strokes on it."""
        assert self._network is not None, "checked before"
        region = self._network.checked_mask(computed, after, self._segmenters.runtime, image.size)
        region = self._layers.layer((row.id, after.id), after.strokes, image.size).apply(region)
        return computed_event(event, computed, region, image.size), region

    def _brush(self, row: ImageRow, image: LoadedImage, state: ObjectState) -> Region:
        """An object's mask with its last stroke."""
        stroke, reach = state.strokes[-1], image.size.longer_side + 1
        assert isinstance(stroke, BrushStroke), "called for a stroke only"
        if any(not (-reach <= value <= 2 * reach) for point in stroke.points for value in point):
            raise SaywhereError("brush: the stroke runs far outside the image; give pixels of the image")
        return apply_strokes(self._region(row, state, image.size), [stroke], image.size)

    def _segment(
        self, row: ImageRow, image: LoadedImage, state: ObjectState, kind: str, label: str | None
    ) -> tuple[Region, float | None, Candidates]:
        """The network's mask for an object with its strokes, the predicted IoU, and the other candidates.

        ``kind`` is that of the event. For the inference thread.
        """
        key, interactions = (row.id, state.id), state.interactions
        given = partial(self._regions.mask, row.id, size=image.size)
        strokes = self._layers.layer(key, state.strokes, image.size)
        masks_before: Sequence[Mask] = ()
        if kind == "candidate":
            masks_before = self._segmenters.segmenter_for(image, key, interactions[:-1], label, given).candidates
            check_choice(state, len(masks_before))
        segmenter = self._segmenters.segmenter_for(image, key, interactions, label, given)
        mask = segmenter.mask
        if mask is None:
            return strokes.apply(EMPTY_REGION), None, Candidates()
        region = strokes.apply(Region(*mask.part(state.threshold)))
        masks, chosen = segmenter.candidates, segmenter.candidate
        if kind == "candidate":
            return region, mask.score, same_candidates(state.candidates, masks_before, masks, chosen)
        return region, mask.score, distinct_candidates(masks, chosen)

    def _check_study(self, action: Action) -> None:
        if self.study is None or not isinstance(action, STUDIED):
            return
        kind = "drag" if isinstance(action, ClickAction) and action.radius is not None else action.kind
        if kind not in STUDIES[self.study]:
            raise SaywhereError(f"{kind}: not available in a study of '{self.study}'")

    def _check_label(self, label: int | None) -> None:
        if label is not None and label not in self._store.all_labels():
            raise SaywhereError(f"label {label}: there is none in this project; create it first")
