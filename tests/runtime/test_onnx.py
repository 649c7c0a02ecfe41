"""OnnxRuntime against torch, its artefact, and what happens without them."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from saywhere import Click, Prompt, SaywhereError, Segmenter
from saywhere.core import robot
from saywhere.core.geometry import Box, ImageSize
from saywhere.core.images import read_image
from saywhere.data.datasets import load_dataset
from saywhere.interactive.sequence import SequenceOptions
from saywhere.models.checkpoint import load_model, save_model
from saywhere.runtime import torch as torch_runtime
from saywhere.runtime.artefact import DESCRIPTION, SUFFIX, VERSION, read_artefact
from saywhere.runtime.export import LEARNING_CLICKS, LEARNING_SIDE, export_graphs
from saywhere.runtime.onnx import OnnxRuntime
from saywhere.runtime.threads import get_threads, set_threads
from saywhere.runtime.torch import TorchRuntime
from saywhere.runtime.weights import WEIGHTS, load_runtime

SHIPPED = WEIGHTS / "saywhere.safetensors"
ONE = Prompt((Click(40, 30),))
MANY = Prompt((Click(40, 30, True, 12.0), Click(5, 60, False), Click(60, 20), Click(2, 2, False, 3.0)), "red car")
NEGATIVE = Prompt((Click(0, 0, False),))
TOLERANCE = 1e-4  # of logits


@pytest.fixture(scope="module")
def onnx() -> OnnxRuntime:
    runtime = load_runtime()
    assert isinstance(runtime, OnnxRuntime)
    return runtime


@pytest.fixture(scope="module")
def plain() -> TorchRuntime:
    runtime = load_runtime(backend="torch")
    assert isinstance(runtime, TorchRuntime)
    return runtime


@pytest.fixture(params=[(96, 128), (75, 101), (33, 190), (1, 1)])
def image(request: pytest.FixtureRequest) -> np.ndarray:
    coarse = np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8)
    h, w = request.param
    return np.ascontiguousarray(np.kron(coarse, np.ones((32, 24, 1), np.uint8))[:h, :w])


class TestSameAsTorch:
    @pytest.mark.parametrize("prompt", [ONE, MANY, NEGATIVE])
    @pytest.mark.parametrize("with_previous", [False, True])
    def test_logits(
        self, onnx: OnnxRuntime, plain: TorchRuntime, image: np.ndarray, prompt: Prompt, with_previous: bool
    ) -> None:
        previous = np.random.default_rng(2).random(image.shape[:2], np.float32) if with_previous else None
        logits = onnx.decode(onnx.encode(image), prompt, previous)
        expected = plain.decode(plain.encode(image), prompt, previous)
        assert logits.shape == expected.shape == image.shape[:2]
        assert np.abs(logits - expected).max() < TOLERANCE

    def test_relevance(self, onnx: OnnxRuntime, plain: TorchRuntime, image: np.ndarray) -> None:
        for phrase in ("red car", "hair"):
            expected = plain.relevance(plain.encode(image), phrase)
            assert np.allclose(onnx.relevance(onnx.encode(image), phrase), expected, atol=1e-5)

    @pytest.mark.parametrize("kind", ["raw", "pure"])
    def test_levels(self, onnx: OnnxRuntime, plain: TorchRuntime, image: np.ndarray, kind: str) -> None:
        pairs = zip(onnx.levels(onnx.encode(image), kind), plain.levels(plain.encode(image), kind), strict=True)
        assert all(np.allclose(a, b, atol=1e-4) for a, b in pairs)

    def test_purification(self, onnx: OnnxRuntime, plain: TorchRuntime, image: np.ndarray) -> None:
        changed = {name: 0.9 * value for name, value in onnx.purification_parameters().items()}
        ours, theirs = onnx.with_purification(changed), plain.with_purification(changed)
        expected = theirs.decode(theirs.encode(image), MANY, None)
        assert np.abs(ours.decode(ours.encode(image), MANY, None) - expected).max() < TOLERANCE
        assert np.abs(ours.decode(ours.purify(onnx.encode(image)), MANY, None) - expected).max() < TOLERANCE
        assert np.abs(onnx.decode(onnx.encode(image), MANY, None) - expected).max() > 100 * TOLERANCE
        vectors = onnx.levels(onnx.encode(image), "raw")[2][:, 0, :1].T
        assert np.allclose(ours.purified(2, vectors), theirs.purified(2, vectors), atol=1e-4)

    @pytest.mark.parametrize("phrase", [None, "red car"])
    def test_gradient(
        self, onnx: OnnxRuntime, plain: TorchRuntime, phrase: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch_runtime, "bfloat16_pays", lambda device: False)
        pixels = np.random.default_rng(0).integers(0, 255, (LEARNING_SIDE, LEARNING_SIDE, 3), np.uint8)
        raw = onnx.levels(onnx.encode(pixels), "raw")
        target = np.zeros(pixels.shape[:2], np.bool_)
        target[60:200, 80:220] = True
        counted = np.ones_like(target)
        counted[300:] = False
        prompt = Prompt((Click(100, 100), Click(30, 200, False), Click(150, 90, True, 20.0)), phrase)
        loss, gradient = onnx.purification_gradient(raw, prompt, target, counted)
        expected_loss, expected = plain.purification_gradient(raw, prompt, target, counted)
        assert loss == pytest.approx(expected_loss, rel=1e-3)
        for name, value in expected.items():
            # A ReLU whose input is nearly 0 may be on for one and off for the other, which changes a few entries.
            difference = np.linalg.norm(gradient[name] - value) / np.linalg.norm(value)
            assert difference < 5e-3, (name, difference)

    def test_cost(self, onnx: OnnxRuntime, plain: TorchRuntime) -> None:
        size = ImageSize(240, 320)
        counted, expected = onnx.cost(size), plain.cost(size)
        assert counted["parameters"] == expected["parameters"]
        for key in ("encode_multiply_adds", "decode_multiply_adds"):
            assert counted[key] == pytest.approx(expected[key], rel=0.02)

    def test_masks_on_grabcut(self, onnx: OnnxRuntime, plain: TorchRuntime) -> None:
        """Masks differ at most in pixels whose logit is 0 up to the tolerance: one of 50 images has one such pixel.

        Every fifth image is tried; all of them took a minute and a half.
        """
        try:
            samples = load_dataset("grabcut")[::5]
        except SaywhereError:
            pytest.skip("GrabCut is not on this machine")
        differing = 0
        for sample in samples:
            image, click = read_image(sample.image_path), robot.first_click(sample.target())
            ours, theirs = (Segmenter(runtime).set_image(image).add(click) for runtime in (onnx, plain))
            assert ours.crop == theirs.crop
            assert np.abs(ours.logits - theirs.logits).max() < TOLERANCE
            differing += int((ours.array != theirs.array).sum())
        assert differing <= 3


class TestCandidates:
    """A network with three candidates, boxes and phrases, not trained: its scores differ because of random weights."""

    @pytest.fixture(scope="class")
    @classmethod
    def pair(cls, tmp_path_factory: pytest.TempPathFactory) -> tuple[OnnxRuntime, TorchRuntime]:
        from saywhere.models.saywhere import Saywhere

        torch.manual_seed(0)
        options = {
            "widths": [8, 8, 16, 16], "key": 8, "candidates": 3, "box": True, "relevance": ["learned"],
            "attention": True, "feature_dct": True,
        }  # fmt: skip
        model = Saywhere(**options)
        assert model.candidate_scores is not None
        with torch.no_grad():
            model.head[1].weight *= 100.0  # logits of a few units
        torch.nn.init.normal_(model.candidate_scores.which)
        torch.nn.init.normal_(model.candidate_scores.last.weight, std=0.5)
        path = tmp_path_factory.mktemp("candidates") / "three.safetensors"
        save_model(path, model, "saywhere", options, {})
        export_graphs(path, path.with_name(f"three{SUFFIX}"))
        ours, theirs = load_runtime(path), load_runtime(path, backend="torch")
        assert isinstance(ours, OnnxRuntime)
        assert isinstance(theirs, TorchRuntime)
        return ours, theirs

    def test_capabilities(self, pair: tuple[OnnxRuntime, TorchRuntime]) -> None:
        for runtime in pair:
            assert (runtime.capabilities.candidates, runtime.capabilities.boxes) == (3, True)

    @pytest.mark.parametrize(
        "prompt",
        [ONE, MANY, Prompt(box=(3.5, 8, 70, 60.2)), Prompt((Click(40, 30), Click(9, 9, False)), "dog", (1, 2, 60, 50))],
    )
    @pytest.mark.parametrize("with_previous", [False, True])
    def test_logits_and_scores(
        self, pair: tuple[OnnxRuntime, TorchRuntime], image: np.ndarray, prompt: Prompt, with_previous: bool
    ) -> None:
        previous = np.random.default_rng(2).random(image.shape[:2], np.float32) if with_previous else None
        (logits, scores), (expected, expected_scores) = (
            runtime.decode_candidates(runtime.encode(image), prompt, previous) for runtime in pair
        )
        assert logits.shape == expected.shape == (3, *image.shape[:2])
        assert np.abs(logits - expected).max() < 1e-3
        assert np.abs(scores - expected_scores).max() < 1e-3
        assert scores.max() - scores.min() > 1e-2
        for runtime in pair:
            best = runtime.decode(runtime.encode(image), prompt, previous)
            assert np.abs(best - expected[expected_scores.argmax()]).max() < 1e-3

    def test_a_box_changes_the_mask(self, pair: tuple[OnnxRuntime, TorchRuntime], image: np.ndarray) -> None:
        onnx, _ = pair
        features = onnx.encode(np.ascontiguousarray(np.resize(image, (96, 128, 3))))
        first, other = (
            onnx.decode(features, replace(ONE, box=box), None) for box in ((2, 2, 60, 60), (30, 20, 50, 45))
        )
        assert np.abs(first - other).max() > 0.01

    @pytest.mark.parametrize("box", [None, (60.0, 50.0, 250.0, 220.0)])
    def test_a_sequence_learns_the_chosen_one(
        self, pair: tuple[OnnxRuntime, TorchRuntime], box: Box | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The loss is that of the mask that ``decode`` returns; the choice itself has no gradient."""
        monkeypatch.setattr(torch_runtime, "bfloat16_pays", lambda device: False)
        onnx, plain = pair
        pixels = np.random.default_rng(0).integers(0, 255, (LEARNING_SIDE, LEARNING_SIDE, 3), np.uint8)
        features = onnx.encode(pixels)
        raw = onnx.levels(features, "raw")
        target = np.zeros(pixels.shape[:2], np.bool_)
        target[60:200, 80:220] = True
        prompt = Prompt((Click(100, 100), Click(30, 200, False), Click(150, 90, True, 20.0)), "red car", box)
        loss, gradient = onnx.purification_gradient(raw, prompt, target, np.ones_like(target))
        expected_loss, expected = plain.purification_gradient(raw, prompt, target, np.ones_like(target))
        assert loss == pytest.approx(expected_loss, rel=1e-3)
        for name, value in expected.items():
            assert np.abs(gradient[name] - value).max() < 1e-3 * np.abs(value).max() + 1e-7, name
        losses = [bce_of(logits, target) for logits in onnx.decode_candidates(features, prompt, None)[0]]
        chosen = onnx.decode_candidates(features, prompt, None)[1].argmax()
        assert loss == pytest.approx(losses[chosen], rel=1e-3)
        assert max(losses) - min(losses) > 1e-3 * loss


def bce_of(logits: np.ndarray, target: np.ndarray) -> float:
    return float(np.mean(np.logaddexp(0.0, logits) - logits * target))


class TestRuntime:
    def test_torch_is_never_imported(self, tmp_path: Path) -> None:
        program = (
            "import sys, numpy as np, saywhere\n"
            "seg = saywhere.load().set_image(np.zeros((60, 80, 3), np.uint8))\n"
            "seg.click(30, 30); seg.say('dog'); seg.undo(); seg.relevance_map('red car')\n"
            "with saywhere.Sequence(seg, 'dog', None) as seq:\n"
            "    for _ in range(2):\n"
            "        seq.propose(np.zeros((60, 80, 3), np.uint8)); seg.click(40, 40)\n"
            "        seq.accept(np.eye(60, 80, dtype=bool))\n"
            "    seq.wait(); assert seq.error is None, seq.error\n"
            "    assert seq.learned.rounds == 2\n"
            "assert not {'torch', 'timm', 'torchvision', 'onnx'} & set(sys.modules), sys.modules.keys()\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)

    def test_each_number_of_threads_has_its_own_sessions(self, onnx: OnnxRuntime) -> None:
        before = get_threads()
        pixels = np.zeros((32, 32, 3), np.uint8)
        try:
            logits = []
            for threads in (1, 2):
                set_threads(threads)
                logits.append(onnx.decode(onnx.encode(pixels), ONE, None))
            assert {("decoder", 1), ("decoder", 2)} <= set(onnx.sessions._sessions)
            assert np.allclose(*logits, atol=TOLERANCE)
        finally:
            set_threads(before)

    def test_a_pickled_copy_computes_the_same(self, onnx: OnnxRuntime) -> None:
        copy = pickle.loads(pickle.dumps(onnx))
        pixels = np.random.default_rng(3).integers(0, 255, (40, 50, 3), np.uint8)
        assert (copy.decode(copy.encode(pixels), ONE, None) == onnx.decode(onnx.encode(pixels), ONE, None)).all()

    def test_learning_takes_what_the_graph_was_traced_with(self, onnx: OnnxRuntime) -> None:
        options = SequenceOptions()
        assert options.side == LEARNING_SIDE
        assert options.most_positive + options.most_negative <= LEARNING_CLICKS
        small = np.ones((64, 64), np.bool_)
        with pytest.raises(SaywhereError, match=r"\(64, 64\) with 1 clicks.*side of 320"):
            onnx.purification_gradient(
                onnx.levels(onnx.encode(np.zeros((64, 64, 3), np.uint8)), "raw"), ONE, small, small
            )


class TestArtefact:
    def test_the_shipped_graphs_are_those_of_the_shipped_network(self, tmp_path: Path) -> None:
        """Otherwise run: saywhere export graphs src/saywhere/weights/saywhere.safetensors"""
        made = read_artefact(export_graphs(SHIPPED, tmp_path / f"again{SUFFIX}"))
        shipped = read_artefact(SHIPPED.with_name("saywhere" + SUFFIX))
        assert json.loads(json.dumps(made.description)) == shipped.description
        assert {name: len(graph) for name, graph in made.graphs.items()} == {
            name: len(graph) for name, graph in shipped.graphs.items()
        }

    def test_it_holds_no_weights(self) -> None:
        assert SHIPPED.with_name("saywhere" + SUFFIX).stat().st_size < 200_000

    def test_other_weights_of_the_same_network_use_it(self, tmp_path: Path) -> None:
        shutil.copy(SHIPPED, tmp_path / "mine.safetensors")
        assert isinstance(load_runtime(tmp_path / "mine.safetensors"), OnnxRuntime)

    def test_weights_without_graphs_are_run_by_torch_or_refused(self, tmp_path: Path) -> None:
        from saywhere.models.saywhere import Saywhere

        path = tmp_path / "small.safetensors"
        options = {"widths": [8, 8, 16, 16], "key": 8}
        save_model(path, Saywhere(**options), "saywhere", options, {})
        assert isinstance(load_runtime(path), TorchRuntime)
        with pytest.raises(SaywhereError, match="no ONNX graphs; make them with: saywhere export graphs"):
            load_runtime(path, backend="onnxruntime")
        with pytest.raises(SaywhereError, match="choose onnxruntime or torch"):
            load_runtime(path, backend="tensorrt")

    @pytest.mark.slow
    def test_graphs_beside_the_weights_are_used(self, tmp_path: Path) -> None:
        from saywhere.models.saywhere import Saywhere

        path = tmp_path / "small.safetensors"
        options = {"widths": [8, 8, 16, 16], "key": 8}
        save_model(path, Saywhere(**options), "saywhere", options, {})
        command = [sys.executable, "-m", "saywhere.cli", "export", "graphs", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        ours, theirs = load_runtime(path), load_runtime(path, backend="torch")
        assert isinstance(ours, OnnxRuntime)
        pixels = np.random.default_rng(3).integers(0, 255, (40, 50, 3), np.uint8)
        expected = theirs.decode(theirs.encode(pixels), ONE, None)
        assert np.abs(ours.decode(ours.encode(pixels), ONE, None) - expected).max() < TOLERANCE

    def test_bad_archives_are_named(self, tmp_path: Path) -> None:
        shutil.copy(SHIPPED, tmp_path / "w.safetensors")
        beside = tmp_path / f"w{SUFFIX}"
        beside.write_bytes(b"no archive")
        with pytest.raises(SaywhereError, match=r"damaged.*saywhere export graphs"):
            load_runtime(tmp_path / "w.safetensors")
        shipped = read_artefact(SHIPPED.with_name("saywhere" + SUFFIX))
        with zipfile.ZipFile(beside, "w") as archive:
            archive.writestr(DESCRIPTION, json.dumps({**shipped.description, "version": VERSION + 1}))
        with pytest.raises(SaywhereError, match=rf"version {VERSION + 1}, but this release reads version {VERSION}"):
            load_runtime(tmp_path / "w.safetensors")

    def test_weights_of_another_architecture_are_named(self) -> None:
        file = load_model(SHIPPED)
        artefact = read_artefact(SHIPPED.with_name("saywhere" + SUFFIX))
        tensors = {name: value.numpy() for name, value in file.model.state_dict().items() if "aspp" not in name}
        with pytest.raises(SaywhereError, match="lack aspp"):
            OnnxRuntime(artefact, tensors, "x", "", file.metadata)
