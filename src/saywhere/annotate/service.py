"""One action, from request to committed answer; and what a page asks without changing anything."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from saywhere.annotate.brush import NOWHERE, Region, brushed, pack, unpack
from saywhere.annotate.db.leases import Held, holder_of
from saywhere.annotate.db.store import Author, Conflict, NewEvent, Store, now_ms
from saywhere.annotate.db.tables import ImageRow
from saywhere.annotate.events import Event, ObjectState, State, changed
from saywhere.annotate.inference.proposals import Proposer
from saywhere.annotate.inference.queue import InferenceQueue
from saywhere.annotate.inference.segmenters import SegmenterCache
from saywhere.annotate.photos import Folder, Opened
from saywhere.annotate.web.requests import (  # fmt: skip
    Action,
    BrushAction,
    ClickAction,
    MarkAction,
    OnObject,
    PhraseAction,
    RedoAction,
    Request,
    ThresholdAction,
    UndoAction,
)
from saywhere.annotate.web.responses import MapOut, PhotographOut, ProposalOut, StateOut
from saywhere.core.mask import sigmoid
from saywhere.errors import SaywhereError

# What a study lets people use: interactions of one kind are compared with those of another.
STUDIES: Final[Mapping[str, frozenset[str]]] = {
    "click": frozenset({"click"}),
    "phraseclick": frozenset({"click", "phrase"}),
    "drag": frozenset({"click", "drag"}),
}
MOST_OBJECTS = 500  # of one photograph


class Annotator:
    """A project being annotated: its store, its folder and the network."""

    def __init__(
        self,
        store: Store,
        folder: Folder,
        segmenters: SegmenterCache,
        desk: InferenceQueue,
        proposer: Proposer,
        study: str | None = None,
    ) -> None:
        if study is not None and study not in STUDIES:
            raise SaywhereError(f"--study '{study}': choose {', '.join(STUDIES)}")
        self.store, self.folder, self.segmenters, self.desk = store, folder, segmenters, desk
        self.proposer, self.study = proposer, study

    # Photographs

    def rescan(self) -> None:
        """Look again which photographs there are."""
        self.store.found(self.folder.paths())

    def opened(self, row: ImageRow) -> Opened:
        """A photograph's pixels. What is found is kept beside it; raises SaywhereError when it cannot be used."""
        try:
            stamp = self.folder.stamp(row.path)
            opened = self.segmenters.open(row.path, stamp, lambda: self.folder.read(row.path))
        except SaywhereError as error:
            if row.fault != str(error):
                self.store.seen(row.id, None, None, str(error))
            raise
        known = (row.height, row.width)
        if row.seq > 0 and row.width is not None and known != opened.size:
            raise SaywhereError(
                f"photograph '{row.path}': was {row.width}x{row.height} when it was annotated and is now "
                f"{opened.size[1]}x{opened.size[0]}; put the file back, or annotate this one under another name"
            )
        if row.sha256 is None or row.fault is not None or (row.seq == 0 and row.sha256 != opened.sha256):
            self.store.seen(row.id, opened.size, opened.sha256, None)
            row.height, row.width, row.sha256, row.fault = *opened.size, opened.sha256, None
        return opened

    def photograph(self, id: int, author: Author) -> PhotographOut:
        """All of a photograph: what a page needs to go on with it."""
        row = self.store.image(id)
        opened = self.opened(row)
        state = self.store.state(id)
        return PhotographOut(
            path=row.path, width=opened.size[1], height=opened.size[0], version=opened.sha256[:16],
            changed=row.sha256 != opened.sha256,
            holder=self._other_holder(id, author),
            state=self._answer(id, State(), state, opened.size),
        )  # fmt: skip

    def _other_holder(self, id: int, author: Author) -> str | None:
        """The name of somebody else who works on a photograph now."""
        with self.store.database.reading() as session:
            lease = holder_of(session, id, now_ms())
        return lease.person if lease is not None and lease.client != author.client else None

    # Actions

    def act(self, id: int, request: Request, author: Author) -> StateOut:
        """Do an action: on return it is on the disk.

        Raises Conflict, Held, or SaywhereError when it cannot be done; nothing is kept then.
        """
        row = self.store.image(id)
        if self.store.done_before(id, request.key) is not None:
            return self._answer(id, State(), self.store.state(id), self._size(row))
        holder = self._other_holder(id, author)
        if holder is not None:
            raise Held(id, holder)
        before = self.store.state(id)
        if before.seq != request.base:
            raise Conflict(f"photograph {id}: changed since (now {before.seq}, seen {request.base}); load it again")
        deed = self._deed(row, before, request.action, author)
        deed = replace(deed, took_ms=request.took_ms)
        state = self.store.append(id, request.base, request.key, author, deed)
        if isinstance(request.action, MarkAction) and request.action.value == "done":
            self._learn(row, state)
        return self._answer(id, before, state, self._size(row))

    def _deed(self, row: ImageRow, before: State, action: Action, author: Author) -> NewEvent:
        """What is to be kept of an action, its mask already found."""
        if isinstance(action, UndoAction | RedoAction):
            possible = before.can_undo if isinstance(action, UndoAction) else before.can_redo
            if not possible:
                raise SaywhereError(f"{action.kind}: there is nothing to {action.kind}")
            return NewEvent(action.kind, None, {})
        data = action.model_dump(exclude={"kind", "object"})
        if isinstance(action, MarkAction):
            return NewEvent(action.kind, None, data)
        self._allowed(action)
        self._labelled(getattr(action, "label", None))
        if isinstance(action, OnObject) and action.object is None:
            if len(before.things) >= MOST_OBJECTS:
                raise SaywhereError(f"photograph '{row.path}': has {MOST_OBJECTS} objects, which is the most")
            thing = ObjectState(before.next_id, label=action.label)
        else:
            assert action.object is not None, "only what may begin an object goes without one"
            thing = before.thing(action.object)
        deed = NewEvent(action.kind, thing.id, data)
        if isinstance(action, ClickAction | PhraseAction | ThresholdAction | BrushAction):
            return self._with_mask(row, thing, deed, author)
        return deed

    def _with_mask(self, row: ImageRow, thing: ObjectState, deed: NewEvent, author: Author) -> NewEvent:
        started = time.perf_counter()
        opened = self.opened(row)
        new = changed(thing, Event(0, deed.kind, thing.id, deed.data))
        if deed.kind == "brush":
            near = max(opened.size) + 1
            if any(not (-near <= v <= 2 * near) for point in deed.data["points"] for v in point):
                raise SaywhereError("brush: the stroke runs far outside the photograph; give its pixels")
            masks = self.store.masks(row.id, [thing.mask] if thing.mask else [])
            region = unpack(masks[thing.mask], opened.size) if thing.mask in masks else NOWHERE
            region, score = brushed(region, new.strokes[-1:], opened.size), thing.score
        elif new.said:
            label = self._name(new)
            region, score = self.desk.ask(author.client, lambda: self._found(row, opened, new, label)).result()
        else:
            raise SaywhereError(f"{deed.kind}: object {thing.id} was only brushed; click on it first")
        return replace(
            deed, mask=pack(region, opened.size), area=region.area, score=score, weights=self.segmenters.runtime.digest,
            spent_ms=1000.0 * (time.perf_counter() - started),
        )  # fmt: skip

    def _name(self, thing: ObjectState) -> str | None:
        """The name of an object's label; none in a study, where what is compared must not learn."""
        if self.study is not None or thing.label is None:
            return None
        label = self.store.all_labels().get(thing.label)
        return None if label is None else label.name

    def _found(
        self, row: ImageRow, opened: Opened, thing: ObjectState, label: str | None
    ) -> tuple[Region, float | None]:
        """The network's answer to all that was said, and then the brush's strokes. For the desk's thread."""
        mask = self.segmenters.stand(opened, (row.id, thing.id), thing.said, label).mask
        if mask is None:
            return brushed(NOWHERE, thing.strokes, opened.size), None
        return brushed(Region(*mask.part(thing.threshold)), thing.strokes, opened.size), mask.score

    def _allowed(self, action: Action) -> None:
        if self.study is None or not isinstance(action, ClickAction | PhraseAction | BrushAction):
            return
        kind = "drag" if isinstance(action, ClickAction) and action.radius is not None else action.kind
        if kind not in STUDIES[self.study]:
            raise SaywhereError(f"{kind}: this is a study of '{self.study}', which goes without")

    def _labelled(self, label: int | None) -> None:
        if label is not None and label not in self.store.all_labels():
            raise SaywhereError(f"label {label}: there is none in this project; make it first")

    def _answer(self, id: int, before: State, state: State, size: tuple[int, int]) -> StateOut:
        known = {thing.mask for thing in before.things.values()}
        wanted = [thing.mask for thing in state.things.values() if thing.mask is not None and thing.mask not in known]
        return StateOut.of(id, state, self.store.masks(id, wanted) if wanted else {}, size)

    def _size(self, row: ImageRow) -> tuple[int, int]:
        return row.height or 0, row.width or 0

    # What changes nothing

    def look(self, id: int) -> None:
        """Open a photograph and look at it, so that its first click is answered fast; when nobody waits."""
        opened = self.opened(self.store.image(id))
        self.desk.later(lambda: self.segmenters.look(opened))

    def relevance(self, id: int, phrase: str, author: Author) -> MapOut:
        """Where a phrase applies."""
        opened = self.opened(self.store.image(id))
        values = self.desk.ask(
            author.client, lambda: self.segmenters.look(opened).relevance_in_crop(phrase), "relevance map"
        ).result()
        return MapOut.of((0, 0, opened.size[1], opened.size[0]), values)

    def probability(self, id: int, object: int, author: Author) -> MapOut:
        """How sure the network is of each pixel of what it looked at for an object."""
        row = self.store.image(id)
        opened = self.opened(row)
        thing = self.store.state(id).thing(object)
        if not thing.said:
            raise SaywhereError(f"object {object}: was only brushed; click on it first")

        label = self._name(thing)

        def found() -> MapOut:
            mask = self.segmenters.stand(opened, (id, object), thing.said, label).mask
            if mask is None:
                raise SaywhereError(f"object {object}: nothing is said of it")
            crop = mask.crop
            return MapOut.of((crop.left, crop.top, crop.right, crop.bottom), sigmoid(mask.logits))

        return self.desk.ask(author.client, found, "probability").result()

    def proposal(self, id: int, label: int, author: Author) -> ProposalOut:
        """Where another object of a label may be."""
        row = self.store.image(id)
        labels = self.store.all_labels()
        if label not in labels:
            raise SaywhereError(f"label {label}: there is none in this project")
        opened = self.opened(row)
        things = self.store.state(id).things.values()
        masks = self.store.masks(id, [t.mask for t in things if t.mask is not None]) if things else {}

        def propose() -> ProposalOut:
            taken = [unpack(counts, opened.size) for counts in masks.values()]
            found = self.proposer.propose(self.segmenters.look(opened), labels[label].name, taken)
            if found is None:
                return ProposalOut()
            box = (0, 0, opened.size[1], opened.size[0])
            return ProposalOut(x=found.click.x, y=found.click.y, confidence=MapOut.of(box, found.confidence))

        return self.desk.ask(author.client, propose, "proposal").result()

    def _learn(self, row: ImageRow, state: State) -> None:
        """Have the proposer learn from every labelled object of a photograph that is done, when nobody waits."""
        labels = self.store.all_labels()
        named = [(t, labels[t.label].name) for t in state.things.values() if t.said and t.label in labels]
        if not named:
            return
        try:
            opened = self.opened(row)
        except SaywhereError:
            return  # what was done is kept; a photograph that has gone since teaches nothing
        for thing, label in named:
            self.desk.later(partial(self._teach, row, opened, thing, label))

    def _teach(self, row: ImageRow, opened: Opened, thing: ObjectState, label: str) -> None:
        counts = self.store.masks(row.id, [thing.mask] if thing.mask is not None else [])
        for event, packed in counts.items():
            segmenter = self.segmenters.stand(opened, (row.id, thing.id), thing.said, self._name(thing))
            self.proposer.learn(segmenter, label, unpack(packed, opened.size), (row.id, thing.id, event))
