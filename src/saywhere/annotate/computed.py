"""Masks that a page computes by itself, with the network that this server gives it, and their checks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from saywhere.annotate.actions import Action, BoxAction, CandidateAction, ClickAction, ComputedMask, ThresholdAction
from saywhere.annotate.checks import check_choice
from saywhere.annotate.db.store import NewEvent
from saywhere.annotate.events import ObjectState
from saywhere.annotate.interactions import CandidateChoice, Candidates, DrawnBox
from saywhere.annotate.region import EMPTY_REGION, Region
from saywhere.browser.network import network_files
from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import Click
from saywhere.core.rle import RunLengths
from saywhere.errors import SaywhereError
from saywhere.interactive.checks import check_box, check_click, check_clicks
from saywhere.runtime.base import Runtime
from saywhere.runtime.onnx import OnnxRuntime

PRECISION = "fp16"  # its masks are those of single precision, at half the size
COMPUTABLE = (ClickAction, BoxAction, CandidateAction, ThresholdAction)


@dataclass(frozen=True)
class BrowserNetwork:
    """The network as pages get it.

    Args:
        files: contents by path: see :func:`saywhere.browser.network.network_files`.
        precision: in which the weights are stored.
    """

    files: Mapping[str, bytes]
    precision: str = PRECISION

    @classmethod
    def of(cls, runtime: Runtime) -> BrowserNetwork:
        """Export a network; SaywhereError if it is not ours, or something that this needs is missing."""
        if not isinstance(runtime, OnnxRuntime):
            raise SaywhereError(
                f"--in-browser: model '{runtime.name}' does not run in browsers; leave out --model, or give weights of "
                "our network"
            )
        return cls(network_files(runtime, PRECISION, webgpu=True))

    @property
    def address(self) -> str:
        """The path that the files are served below; another one for other files, so that pages may keep them."""
        digest = hashlib.sha256()
        for name in sorted(self.files):
            digest.update(name.encode() + hashlib.sha256(self.files[name]).digest())
        return f"/in-browser/{digest.hexdigest()[:16]}/"

    def checked_mask(self, computed: ComputedMask, state: ObjectState, runtime: Runtime, size: ImageSize) -> Region:
        """The mask that a page computed for an object.

        Args:
            computed: what the page sent.
            state: the object after the action.
            runtime: the server's own network, which the page has, too.
            size: of the image.

        Raises:
            SaywhereError: it is of another network, damaged, of another size, or for a prompt that the network would
                refuse or that no page can compute.
        """
        if computed.weights != runtime.digest or computed.precision != self.precision:
            raise SaywhereError(
                f"computed: with weights {computed.weights[:12]} in {computed.precision}, expected "
                f"{runtime.digest[:12]} in {self.precision}; load the page again"
            )
        _check_prompt(state, runtime, size)
        _check_candidates(computed, runtime.capabilities.candidates)
        runs = RunLengths.from_counts(computed.counts, size)
        return Region(*runs.cropped()) if runs.area else EMPTY_REGION


def check_computable(action: Action, network: BrowserNetwork | None) -> None:
    """SaywhereError if no page may compute the mask of an action."""
    if network is None:
        raise SaywhereError("computed: this server was started without --in-browser; load the page again")
    if not isinstance(action, COMPUTABLE):
        raise SaywhereError(f"computed: a page computes no mask for '{action.kind}'; leave it out")


def _check_prompt(state: ObjectState, runtime: Runtime, size: ImageSize) -> None:
    for one in state.interactions:
        if not isinstance(one, Click | DrawnBox | CandidateChoice):
            what = "a phrase" if one is None or isinstance(one, str) else "a mask that was given"
            raise SaywhereError(f"computed: object {state.id} has {what}, which only the server takes; leave it out")
    if not state.is_prompted:
        raise SaywhereError(f"computed: object {state.id}: the network was not asked for it; click on it first")
    last = state.interactions[-1]
    if isinstance(last, Click):
        check_click(last, size)
        check_clicks(state.clicks, runtime)
    elif isinstance(last, DrawnBox):
        check_box(last.box, runtime, size)
    elif isinstance(last, CandidateChoice):
        check_choice(state, runtime.capabilities.candidates if len(state.interactions) > 1 else 0)


def _check_candidates(computed: ComputedMask, count: int) -> None:
    indices, position = computed.candidates.indices, computed.candidates.position
    is_possible = len(set(indices)) == len(indices) != 1 and all(index < count for index in indices)
    if not is_possible or position >= max(len(indices), 1):
        raise SaywhereError(f"computed: candidates {indices} at {position}: not of a network with {count} masks")


def computed_event(event: NewEvent, computed: ComputedMask, region: Region, size: ImageSize) -> NewEvent:
    """An event with the mask that a page computed: as with the server's own, and who computed it."""
    candidates = Candidates(tuple(computed.candidates.indices), computed.candidates.position)
    made = {"by": "browser", "backend": computed.backend, "precision": computed.precision}
    return replace(
        event, data={**event.data, **candidates.as_data(), "computed": made}, mask=region.encode(size),
        area=region.area, score=computed.score, weights=computed.weights, spent_ms=computed.spent_ms,
    )  # fmt: skip
