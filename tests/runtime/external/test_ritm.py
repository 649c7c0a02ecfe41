"""Checkpoints of RITM, FocalClick and SimpleClick through stand-ins for the user's clone of each project."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from isegm_checkout import KINDS, write_checkout, write_checkpoint

import saywhere
from conftest import disc
from saywhere.core.metrics import iou
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.external.names import load_external
from saywhere.runtime.external.ritm import RitmRuntime

Files = tuple[Path, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Files]:
    folder = tmp_path_factory.mktemp("clones")
    written = {kind: write_checkout(folder, kind) for kind in KINDS}
    return lambda kind: written[kind]


@pytest.fixture
def picture() -> tuple[np.ndarray, np.ndarray]:
    """A red disc and a green one on blue, 500x370, and the mask of the red one."""
    image = np.zeros((370, 500, 3), np.uint8)
    image[...] = (20, 40, 160)
    red = disc(370, 500, 330, 200, 90)
    image[red] = (220, 30, 20)
    image[disc(370, 500, 120, 120, 60)] = (30, 200, 40)
    return image, red


@pytest.mark.parametrize("kind", KINDS)
def test_clicks_and_drags(files: Callable[[str], Files], kind: str, picture: tuple[np.ndarray, np.ndarray]) -> None:
    image, red = picture
    runtime = RitmRuntime(*files(kind))
    assert runtime.kind == kind
    assert runtime.model.scale.item() == 0.5  # of the checkpoint
    segmenter = Segmenter(runtime)
    assert (segmenter.settings.zoom, segmenter.settings.previous_mask_from) == (True, 2)
    segmenter = Segmenter(runtime, Settings(unclicked_components=0.0, previous_mask_from=99)).set_image(image)
    assert iou(segmenter.click(300, 210).array, red) > 0.97
    both = segmenter.click(120, 130).array
    assert both[120, 120]
    assert both[200, 330]
    assert not segmenter.click(122, 122, positive=False).array[120, 120]
    segmenter.reset()
    assert iou(segmenter.drag(330, 200, radius=80).array, red) > 0.97
    with pytest.raises(SaywhereError, match="understand no boxes"):
        segmenter.box(10, 10, 90, 90)


@pytest.mark.parametrize("kind", KINDS)
def test_the_previous_mask_is_the_fourth_channel(
    files: Callable[[str], Files], kind: str, picture: tuple[np.ndarray, np.ndarray]
) -> None:
    image, red = picture
    runtime = RitmRuntime(*files(kind))
    features = runtime.encode(image)
    green = disc(370, 500, 120, 120, 60)
    prompt = saywhere.Prompt((saywhere.Click(330, 200),))
    found = runtime.decode(features, prompt, green.astype(np.float32)) > 0.0
    assert iou(found, red | green) > 0.95
    assert iou(runtime.decode(features, prompt, None) > 0.0, red) > 0.97


def test_a_checkpoint_without_a_previous_mask(files: Callable[[str], Files], tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "plain.pth", KINDS["ritm"][0], with_prev_mask=False)
    runtime = RitmRuntime(checkpoint, files("ritm")[1])
    image = np.full((40, 50, 3), 200, np.uint8)
    logits = runtime.decode(
        runtime.encode(image), saywhere.Prompt((saywhere.Click(5, 5),)), np.ones((40, 50), np.float32)
    )
    assert logits.shape == (40, 50)


def test_by_name_and_side_by_side(files: Callable[[str], Files], picture: tuple[np.ndarray, np.ndarray]) -> None:
    """Clones whose packages have the same name, in one process; nothing of them stays importable."""
    image, red = picture
    path, modules = list(sys.path), set(sys.modules)
    loaded = [saywhere.load(f"{kind}:{files(kind)[0]}@{files(kind)[1]}") for kind in KINDS]
    assert sys.path == path
    assert not {name for name in set(sys.modules) - modules if name.startswith("isegm")}
    for segmenter in loaded:
        assert iou(segmenter.set_image(image).click(330, 200).array, red) > 0.97
        assert segmenter.say("ball").array.any()
        assert segmenter.relevance_map("ball").shape == (370, 500)
    assert len({segmenter.runtime.digest for segmenter in loaded}) == 3
    copy = pickle.loads(pickle.dumps(loaded[0].runtime))
    assert copy.digest == loaded[0].runtime.digest


def test_what_cannot_be_loaded_is_named_in_one_line(files: Callable[[str], Files], tmp_path: Path) -> None:
    checkpoint, checkout = files("ritm")
    _, vit = files("simpleclick")
    name = KINDS["ritm"][0]
    plain = tmp_path / "plain.pth"
    torch.save({"weight": torch.zeros(2)}, plain)
    other = write_checkpoint(tmp_path / "other.pth", name, {"backbone.weight": torch.zeros(2)})
    shaped = write_checkpoint(tmp_path / "shaped.pth", name, {"scale": torch.zeros(2)})
    text = tmp_path / "text.pth"
    text.write_text("no checkpoint")
    broken = tmp_path / "broken-clone"
    for place in ("isegm/__init__.py", "isegm/utils/__init__.py"):
        (broken / place).parent.mkdir(parents=True, exist_ok=True)
        (broken / place).write_text("")
    (broken / "isegm/utils/serialization.py").write_text("import a_module_that_is_not_there\n")
    cases = {
        f"ritm:{checkpoint}": "no checkout in it; give ritm:CHECKPOINT.pth@FOLDER-OF-A-CLONE",
        f"ritm:{checkpoint}@{tmp_path / 'nowhere'}": "no such folder; give the folder of a clone",
        f"ritm:{checkpoint}@{tmp_path}": r"no isegm/utils/serialization\.py in it",
        f"ritm:{tmp_path / 'none.pth'}@{checkout}": "No such file.*with config and state_dict, is expected",
        f"ritm:{text}@{checkout}": "cannot be read",
        f"ritm:{plain}@{checkout}": "found weight; a checkpoint of RITM",
        f"ritm:{checkpoint}@{vit}": r"needs the module isegm\.model\.is_hrnet_model, which is missing",
        f"ritm:{checkpoint}@{broken}": "needs the module a_module_that_is_not_there",
        f"ritm:{other}@{checkout}": r"has backbone\.weight and lacks scale",
        f"ritm:{shaped}@{checkout}": "does not fit",
    }
    for given, expected in cases.items():
        with pytest.raises(SaywhereError, match=expected) as caught:
            load_external(given)
        assert "\n" not in str(caught.value)


def test_a_checkpoint_runs_no_code_of_its_own(files: Callable[[str], Files], tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "done"),)

    torch.save({"config": {"class": "x"}, "state_dict": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(SaywhereError, match="cannot be read"):
        load_external(f"ritm:{tmp_path / 'harmful.pth'}@{files('ritm')[1]}")
    assert not (tmp_path / "done").exists()


def test_code_that_fails_is_named(files: Callable[[str], Files], tmp_path: Path) -> None:
    _, checkout = write_checkout(tmp_path, "ritm")
    module = checkout / "isegm/model/is_hrnet_model.py"
    module.write_text(module.read_text().replace("def compare(self, image, points):", "def compare(self, image):"))
    runtime = RitmRuntime(tmp_path / "ritm.pth", checkout)
    features = runtime.encode(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(SaywhereError, match=r"model 'ritm:ritm': the code of its checkout failed \(TypeError"):
        runtime.decode(features, saywhere.Prompt((saywhere.Click(5, 5),)), None)
