"""The published networks by name: the size at which they answer, and what each of them cannot take."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from published import OPTIONS, SIZES, write_tiny

import saywhere
from saywhere import Click, SaywhereError, Segmenter, Settings
from saywhere.core.numbers import describe
from saywhere.core.settings import ResolvedSettings
from saywhere.models import build
from saywhere.models.checkpoint import load_model, save_model
from saywhere.prelabel.run import answer
from saywhere.runtime import weights
from saywhere.runtime.base import Capabilities
from saywhere.runtime.metadata import resolve_settings, training_size
from saywhere.runtime.registry import find_method


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("papers"))


@pytest.fixture
def load(papers: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Segmenter]:
    """``saywhere.load`` with tiny weights for the published networks."""
    monkeypatch.setattr(weights, "papers_folder", lambda: papers)
    return saywhere.load


IMAGE = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)


@pytest.mark.parametrize("name", sorted(weights.PUBLISHED))
def test_each_is_loaded_by_its_name_and_answers_at_the_size_of_its_training(
    load: Callable[..., Segmenter], name: str
) -> None:
    segmenter = load(name).set_image(IMAGE)
    assert segmenter.runtime.name == name
    crop = segmenter.encoded.full_crop
    assert (crop.width, crop.height) == (SIZES[name], SIZES[name] * 3 // 4)
    assert segmenter.settings.zoom == (name in ("dctnet", "sequential"))
    assert segmenter.settings.zoom_size == SIZES[name]
    assert segmenter.click(80, 60).array.shape == IMAGE.shape[:2]
    assert find_method(name, Settings())[1] == segmenter.settings


def test_the_catalogue_has_every_published_network() -> None:
    assert set(weights.PUBLISHED) == set(OPTIONS) == {"phraseclick", "textclick", "dctnet", "sequential", "multistage"}


class TestSize:
    def test_a_chosen_size_wins(self, load: Callable[..., Segmenter]) -> None:
        segmenter = load("phraseclick", settings=Settings(size=128, zoom=True, zoom_size=64)).set_image(IMAGE)
        assert segmenter.encoded.full_crop.width == 128
        assert (segmenter.settings.zoom, segmenter.settings.zoom_size) == (True, 64)
        assert segmenter.settings.later_zoom_size == 64
        assert Settings(later_zoom_size=96).resolve(64).later_zoom_size == 96
        other = load("phraseclick", settings=Settings(threshold=0.4)).settings
        assert (other.size, other.threshold) == (SIZES["phraseclick"], 0.4)

    def test_our_own_network_answers_as_before(self) -> None:
        settings = saywhere.load().settings
        assert settings == ResolvedSettings()
        assert (settings.size, settings.zoom, settings.zoom_size, settings.later_zoom_size) == (320, True, 384, 512)
        # Whatever the side of its crops was in training.
        metadata = {"model": "saywhere", "size": 256, "zoom": False, "recipe": {"crop": {"size": 256}}}
        assert training_size(metadata) == (None, True)

    def test_weights_of_an_earlier_release_have_it_in_their_recipe(self) -> None:
        crop = {"size": 192, "full_image_prob": 1.0}
        assert training_size({"model": "phraseclick", "recipe": {"crop": crop}}) == (192, False)
        assert training_size({"model": "phraseclick", "recipe": {"crop": {**crop, "full_image_prob": 0.5}}}) == (
            192,
            True,
        )
        whole = {"model": "dctnet", "recipe": {"crop": {**crop, "full_image_prob": 0.5, "mode": "stretch"}}}
        assert training_size(whole) == (192, False)
        assert training_size({"model": "phraseclick"}) == (None, True)
        assert training_size({}) == (None, True)

    @pytest.mark.parametrize("size", [0, -64, 16, 100_000, 96.5, "96"])
    def test_a_size_that_no_network_takes_is_an_error(self, load: Callable[..., Segmenter], size: object) -> None:
        with pytest.raises(SaywhereError, match=rf"size {describe(size)}: .*from 32 to 4096"):
            load("multistage", settings=Settings(size=size))  # type: ignore[arg-type]

    def test_metadata_without_sense_are_an_error(self, tmp_path: Path) -> None:
        options = OPTIONS["multistage"]
        path = tmp_path / "w.safetensors"
        save_model(path, build("multistage", options), "multistage", options, {"size": "large", "step": 0})
        with pytest.raises(SaywhereError, match=r"multistage.*size 'large'"):
            saywhere.load(path)

    def test_a_resolved_setting_stays(self, runtime: saywhere.Segmenter) -> None:
        once = Settings(zoom=False).resolve(96, True)
        assert replace(once, threshold=0.4).resolve(192, True) == replace(once, threshold=0.4)
        assert resolve_settings(runtime, once) == once  # type: ignore[arg-type]


class TestRefusals:
    """One line that names what the network takes; mask and prompt stay."""

    @pytest.mark.parametrize(
        ("name", "refused", "words"),
        [
            ("multistage", lambda s: s.click(20, 20), "second click: 'multistage' takes one positive click"),
            ("multistage", lambda s: s.click(20, 20, positive=False), "second click: .*one positive click"),
            ("multistage", lambda s: s.say("dog"), "'multistage' understand no phrases"),
            ("multistage", lambda s: s.box(5, 5, 90, 90), "'multistage' understand no boxes"),
            ("dctnet", lambda s: s.say("dog"), "'dctnet' understand no phrases"),
            ("dctnet", lambda s: s.box(5, 5, 90, 90), "'dctnet' understand no boxes"),
            ("sequential", lambda s: s.say("dog"), "'sequential' understand no phrases"),
            ("sequential", lambda s: s.drag(20, 20, radius=9), "drag: 'sequential' takes no drags"),
            ("phraseclick", lambda s: s.drag(20, 20, radius=9), "drag: 'phraseclick' takes no drags"),
            ("phraseclick", lambda s: s.box(5, 5, 90, 90), "'phraseclick' understand no boxes"),
            ("textclick", lambda s: s.drag(20, 20, radius=9, positive=False), "drag: 'textclick' takes no drags"),
            ("textclick", lambda s: s.choose(1), "candidate 1: there are 1"),
        ],
    )
    def test_what_it_cannot_take(
        self, load: Callable[..., Segmenter], name: str, refused: Callable[[Segmenter], object], words: str
    ) -> None:
        segmenter = load(name).set_image(IMAGE)
        mask, prompt = segmenter.click(80, 60), segmenter.prompt
        with pytest.raises(SaywhereError, match=words):
            refused(segmenter)
        assert segmenter.mask is mask
        assert segmenter.prompt == prompt
        segmenter.undo()
        assert segmenter.mask is None

    def test_the_first_click_of_multistage_is_positive_and_no_drag(self, load: Callable[..., Segmenter]) -> None:
        segmenter = load("multistage").set_image(IMAGE)
        with pytest.raises(SaywhereError, match=r"negative click: 'multistage' takes one positive click"):
            segmenter.click(5, 5, positive=False)
        with pytest.raises(SaywhereError, match=r"drag: 'multistage'"):
            segmenter.drag(5, 5, radius=4)
        with pytest.raises(SaywhereError, match=r"second click"):
            segmenter.predict([[5, 5], [9, 9]], [1, 1])
        assert segmenter.predict([[5, 5]], [1])[0].shape == (1, 120, 160)

    def test_what_they_take(self, load: Callable[..., Segmenter]) -> None:
        for name in ("phraseclick", "textclick", "dctnet", "sequential"):
            segmenter = load(name).set_image(IMAGE)
            segmenter.click(80, 60)
            segmenter.click(20, 20, positive=False)
            assert segmenter.click(90, 70).array.shape == (120, 160)
        load("dctnet").set_image(IMAGE).drag(80, 60, radius=20)
        for name in ("phraseclick", "textclick"):
            segmenter = load(name).set_image(IMAGE)
            plain = segmenter.click(80, 60)
            assert not np.array_equal(segmenter.say("dog").logits, plain.logits)

    def test_prelabelling_says_it_too(self, load: Callable[..., Segmenter]) -> None:
        segmenter = load("multistage").set_image(IMAGE)
        with pytest.raises(SaywhereError, match="second click"):
            answer(segmenter, saywhere.Prompt((Click(5, 5), Click(9, 9))))

    def test_capabilities_in_words(self) -> None:
        few = Capabilities(max_clicks=3)
        assert few.click_problem([Click(1, 1)] * 3, "x") is None
        assert "click 4: 'x' takes at most 3 clicks" in str(few.click_problem([Click(1, 1)] * 4, "x"))
        with pytest.warns(DeprecationWarning, match="max_clicks=1"):
            old = Capabilities(single_click=True)
        assert old == Capabilities(max_clicks=1, negative_clicks=False)
        assert replace(old, candidates=2).single_click


class TestNames:
    @pytest.mark.parametrize("name", sorted(weights.PUBLISHED))
    def test_weights_that_are_not_installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setattr(weights, "papers_folder", lambda: tmp_path)
        with pytest.raises(SaywhereError, match=rf"network '{name}'.*not installed.*saywhere train {name}-small"):
            saywhere.load(name)
        assert name not in weights.shipped()

    def test_an_unknown_name_is_answered_by_the_nearest(self) -> None:
        with pytest.raises(SaywhereError, match=r"'phraseclik'.*did you mean 'phraseclick'\?.*multistage"):
            saywhere.load("phraseclik")
        with pytest.raises(SaywhereError, match=r"model 'graph_cut'.*did you mean 'graph-cut'\?.*dctnet"):
            find_method("graph_cut", Settings())
        with pytest.raises(SaywhereError, match=r"weights 'zzz'.*names are: saywhere"):
            saywhere.load("zzz")

    def test_the_relevance_map_of_textclick_needs_no_path(
        self, load: Callable[..., Segmenter], papers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file names our own network, whose weights come with the package."""
        (tmp_path / "elsewhere").mkdir()
        shutil.copy(papers / "textclick.safetensors", tmp_path / "elsewhere")
        monkeypatch.setattr(weights, "papers_folder", lambda: tmp_path / "elsewhere")
        monkeypatch.chdir(tmp_path)
        assert load_model(papers / "textclick.safetensors").metadata["options"]["relevance"] == {"weights": "saywhere"}
        segmenter = load("textclick").set_image(IMAGE)
        relevance = segmenter.relevance_map("dog")
        assert (relevance.min(), relevance.max()) == pytest.approx((0.0, 1.0), abs=0.05)
