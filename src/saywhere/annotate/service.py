"""An annotation project as the routes see it: what a page asks, and what it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from saywhere.annotate.actions import ActionRequest, MarkAction
from saywhere.annotate.computed import BrowserNetwork
from saywhere.annotate.db.disagreements import disagreements
from saywhere.annotate.db.store import Author, Store
from saywhere.annotate.db.tables import ImageRow
from saywhere.annotate.disagreement import image_disagreement
from saywhere.annotate.editing import Editor, StateChange
from saywhere.annotate.events import ImageState, ObjectState
from saywhere.annotate.finetuning import FineTuning
from saywhere.annotate.image_folder import ImageFolder, LoadedImage
from saywhere.annotate.images import ImageLoader
from saywhere.annotate.inference.instances import ProposedInstance, SearchTarget, begin_search
from saywhere.annotate.inference.proposals import ClickProposal, Proposer
from saywhere.annotate.inference.queue import InferenceQueue
from saywhere.annotate.inference.segmenters import SegmenterCache
from saywhere.annotate.region import Box
from saywhere.annotate.regions import RegionStore
from saywhere.annotate.rings import Ring, outline_rings
from saywhere.annotate.scan import ScanReport, scan_folder
from saywhere.core.arrays import FloatArray
from saywhere.core.cutout import blur_background, cut_out, opacity_of_mask
from saywhere.core.geometry import ImageSize
from saywhere.core.mask import sigmoid
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.interactive.instances import InstanceSearch
from saywhere.runtime.base import Runtime

T = TypeVar("T")
LoadNetwork = Callable[[Path | None], tuple[Runtime, Settings, Proposer]]


@dataclass(frozen=True)
class ImageMap:
    """Values in [0, 1] over a rectangle of an image: ``values`` is ``(h, w)`` of any size."""

    box: Box
    values: FloatArray


@dataclass(frozen=True)
class OpenedImage:
    """All that a page needs to continue with an image.

    Args:
        path: below the folder.
        version: changes when the file does.
        changed: whether the file is another one than when it was annotated.
        holder: who else is editing it now.
        change: its state, with all masks.
    """

    path: str
    version: str
    changed: bool
    holder: str | None
    change: StateChange


class Annotator:
    """A project being annotated: its store, its folder and the network."""

    def __init__(
        self,
        store: Store,
        folder: ImageFolder,
        segmenters: SegmenterCache,
        queue: InferenceQueue,
        proposer: Proposer,
        study: str | None = None,
        network: BrowserNetwork | None = None,
        load: LoadNetwork | None = None,
        weights: Path | None = None,
    ) -> None:
        """``study`` limits interactions; see :data:`saywhere.annotate.editing.STUDIES`. With a ``network`` pages
        compute masks by themselves.

        ``load`` loads weights that fine-tuning made, or None for those that the server starts with, which are the file
        ``weights``; without that file there is no fine-tuning.
        """
        self.store, self.folder, self.segmenters, self.queue = store, folder, segmenters, queue
        self.proposer, self.study, self.network = proposer, study, network
        self._load = load
        self.finetuning = FineTuning(store, folder, weights, self._use_weights)
        self._images = ImageLoader(store, folder, segmenters)
        self._regions = RegionStore(store)
        self._editor = Editor(store, self._images, segmenters, queue, self._regions, study, network)

    def close(self) -> None:
        """Finish the network's work and learning; fine-tuning is interrupted."""
        self.finetuning.close()
        self.queue.close()
        self.proposer.close()

    def _use_weights(self, weights: Path | None) -> None:
        """Answer with other weights from the next click on; what is being computed is finished with those of before."""
        assert self._load is not None, "fine-tuning is not offered without it"
        runtime, settings, proposer = self._load(weights)
        before, self.proposer = self.proposer, proposer
        self.segmenters.replace_runtime(runtime, settings, proposer.adapted_runtime)
        before.close()

    # Images

    def rescan(self, check: bool = False) -> ScanReport:
        """List the folder's images anew; see :func:`saywhere.annotate.scan.scan_folder`."""
        return scan_folder(self.store, self.folder, check)

    def load_image(self, id: int) -> LoadedImage:
        """An image's pixels; SaywhereError when it cannot be used."""
        return self._images.load(self.store.image(id))

    def open_image(self, id: int, author: Author) -> OpenedImage:
        """An image with its state and all masks; SaywhereError when it cannot be used."""
        row = self.store.image(id)
        image = self._images.load(row)
        return OpenedImage(
            path=row.path,
            version=image_version(image),
            changed=row.sha256 != image.sha256,
            holder=self.store.other_holder(id, author),
            change=self.image_state(id),
        )

    def image_state(self, id: int) -> StateChange:
        """An image's state with all masks, whether or not its file can be read."""
        return self._editor.change(self.store.image(id), ImageState(), self.store.history(id).state)

    def disagreements(self, rows: Sequence[ImageRow]) -> dict[int, float | None]:
        """How much was changed of what was proposed, by the number of the image; see :mod:`.disagreement`."""
        store = self.store

        def compute(row: ImageRow) -> float | None:
            if row.height is None or row.width is None:
                return None
            size = ImageSize(row.height, row.width)
            return image_disagreement(store.history(row.id), size, partial(store.load_masks, row.id))

        return disagreements(store.database, rows, compute)

    # Actions

    def act(self, id: int, request: ActionRequest, author: Author) -> StateChange:
        """Do an action: on return it is on the disk. Errors as in :meth:`saywhere.annotate.editing.Editor.edit`."""
        change = self._editor.edit(id, request, author)
        if isinstance(request.action, MarkAction) and request.action.value == "done":
            self._learn_from(id, change.state)
        return replace(change, note=self._learning_fault(change.state))

    def _learning_fault(self, state: ImageState) -> str | None:
        """Why nothing is learned of the object that was worked on, if its label's sequence cannot be used."""
        active = state.objects.get(state.active or 0)
        label = None if active is None else self._editor.label_name(active)
        return None if label is None else self.proposer.fault(label)

    def _learn_from(self, id: int, state: ImageState) -> None:
        """Have the proposer learn from every labelled object of an image that is done, in the background."""
        labels = self.store.all_labels()
        labelled = [
            (one, labels[one.label].name) for one in state.objects.values() if one.is_prompted and one.label in labels
        ]
        if not labelled:
            return
        row = self.store.image(id)
        try:
            image = self._images.load(row)
        except SaywhereError:
            return  # the action is stored; an image whose file is gone since teaches nothing
        for object, label in labelled:
            self.queue.submit_background(partial(self._learn_object, row, image, object, label), image.sha256)

    def _learn_object(self, row: ImageRow, image: LoadedImage, state: ObjectState, label: str) -> None:
        masks = self._regions.load(row.id, [] if state.mask is None else [state.mask], image.size)
        for event, region in masks.items():
            segmenter = self.segmenters.segmenter_for(
                image, (row.id, state.id), state.interactions, self._editor.label_name(state),
                partial(self._regions.mask, row.id, size=image.size),
            )  # fmt: skip
            self.proposer.learn(segmenter, label, region, (row.id, state.id, event))

    # Queries

    def prefetch(self, id: int) -> None:
        """Load an image and encode it in the background, so that its first click is answered fast."""
        image = self.load_image(id)
        self.queue.submit_background(lambda: self.segmenters.encode(image), image.sha256)

    def relevance(self, id: int, phrase: str, author: Author) -> ImageMap:
        """Where a phrase applies. Raises SupersededError when the client asked again meanwhile."""
        image = self.load_image(id)
        work = self.queue.submit(
            author.client,
            lambda: self.segmenters.encode(image).relevance_in_crop(phrase),
            "relevance map",
            image.sha256,
        )
        return ImageMap(_full_box(image), work.result())

    def probability(self, id: int, object: int, author: Author) -> ImageMap:
        """The network's probability for each pixel of the crop in which it segmented an object."""
        image = self.load_image(id)
        state = self.store.history(id).state.object(object)
        if not state.is_prompted:
            raise SaywhereError(f"object {object}: the network was not asked for it; click on it first")
        label = self._editor.label_name(state)

        def compute() -> ImageMap:
            given = partial(self._regions.mask, id, size=image.size)
            mask = self.segmenters.segmenter_for(image, (id, object), state.interactions, label, given).mask
            if mask is None:
                raise SaywhereError(f"object {object}: has no click, box or phrase")
            crop = mask.crop
            return ImageMap((crop.left, crop.top, crop.right, crop.bottom), sigmoid(mask.logits))

        return self.queue.submit(author.client, compute, "probability", image.sha256).result()

    def outline(self, id: int, object: int, tolerance: float) -> list[Ring]:
        """The rings around an object's pixels, its holes too, simplified to a tolerance; none without a mask."""
        image, state = self.load_image(id), self.store.history(id).state.object(object)
        masks = self._regions.load(id, [] if state.mask is None else [state.mask], image.size)
        return [ring for region in masks.values() for ring in outline_rings(region, tolerance)]

    def cutout(self, id: int, object: int | None = None, blur: float | None = None) -> NDArray[np.uint8]:
        """Objects of an image cut out with soft edges, or sharp before a blurred background.

        Args:
            id: number of the image.
            object: number of the object; None for all objects together.
            blur: radius of the blur in pixels; None for the objects alone.

        Returns:
            ``(H, W, 4)`` uint8 RGBA without ``blur``, ``(H, W, 3)`` uint8 RGB with it.

        Raises:
            SaywhereError: there is no such object, it has no mask, or the radius is not possible.
        """
        image, state = self.load_image(id), self.store.history(id).state
        states = list(state.objects.values()) if object is None else [state.object(object)]
        events = [one.mask for one in states if one.mask is not None]
        mask = np.zeros(image.size, np.bool_)
        for region in self._regions.load(id, events, image.size).values():
            mask[region.top : region.bottom, region.left : region.right] |= region.mask
        opacity = opacity_of_mask(mask)
        return cut_out(image.pixels, opacity) if blur is None else blur_background(image.pixels, opacity, blur)

    def propose(self, id: int, label: int, author: Author) -> tuple[ClickProposal, ImageMap] | None:
        """Where another object of a label may be, and the confidence over the image; None where there seems none."""
        labels = self.store.all_labels()
        if label not in labels:
            raise SaywhereError(f"label {label}: there is none in this project")
        image = self.load_image(id)
        masks = [one.mask for one in self.store.history(id).state.objects.values() if one.mask is not None]

        def compute() -> ClickProposal | None:
            existing = list(self._regions.load(id, masks, image.size).values())
            return self.proposer.propose(self.segmenters.encode(image), labels[label].name, existing)

        proposal = self.queue.submit(author.client, compute, "proposal", image.sha256).result()
        return None if proposal is None else (proposal, ImageMap(_full_box(image), proposal.confidence))

    def instances(
        self, id: int, author: Author, phrase: str | None = None, label: int | None = None, background: bool = False
    ) -> list[ProposedInstance]:
        """All objects of an image that a phrase names or that are of a label, without those that are there.

        Args:
            id: number of the image.
            author: who asks.
            phrase: what to look for.
            label: number of the label; of a phrase that is the name of one that label comes first.
            background: whether to search only while no client waits.

        Returns:
            The objects, the highest score first.

        Raises:
            SaywhereError: the image cannot be used, there is no such label, or neither phrase nor label says what to
                look for.
        """
        labels, named = self.store.all_labels(), None if phrase is None else self.store.labels.named(phrase)
        if label is not None and label not in labels:
            raise SaywhereError(f"label {label}: there is none in this project")
        label_row = named or (None if label is None else labels[label])
        if phrase is None and label_row is None:
            raise SaywhereError("instances: give a phrase or a label")
        image, state = self.load_image(id), self._editor.labelled_now(self.store.history(id).state)
        same: list[int] = []
        others: list[int] = []
        for one in state.objects.values():
            if one.mask is not None:
                is_same = label_row is not None and one.label == label_row.id
                (same if is_same else others).append(one.mask)

        def begin() -> InstanceSearch | None:
            masks = self._regions.load(id, [*same, *others], image.size)
            existing = [masks[event] for event in same if event in masks]
            foreign = [masks[event] for event in others if event in masks]
            what = SearchTarget(phrase, None if label_row is None else label_row.name, existing, foreign)
            return begin_search(self.segmenters.encode(image), self.proposer, what)

        # In parts, so that a click on the image does not wait for all of them.
        def do(part: Callable[[], T]) -> T:
            if background:
                return self.queue.submit_background(part, image.sha256).result()
            return self.queue.submit(author.client, part, image=image.sha256).result()

        search = do(begin)
        if search is None:
            return []
        for window in search.windows:
            do(partial(search.search, window))
        return do(lambda: [ProposedInstance.of(one) for one in search.found()])


def image_version(image: LoadedImage) -> str:
    """Changes when the image's file does."""
    return image.sha256[:16]


def _full_box(image: LoadedImage) -> Box:
    return 0, 0, image.size.width, image.size.height
