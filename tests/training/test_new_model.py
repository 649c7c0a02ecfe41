"""A new network from its template: it is registered, its recipes are read, and it takes a training step."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from saywhere import SaywhereError
from saywhere.training.new_model import new_model

ROOT = Path(__file__).parents[2]
STEP = """
import math, sys
from saywhere.models import MODELS, build
from saywhere.training.batch import collate
from saywhere.training.dataset import CropDataset
from saywhere.training.devices import launch
from saywhere.training.recipe_files import read_recipe
from saywhere.training.trainer import Trainer
import saywhere
assert saywhere.__file__.startswith(sys.argv[1]), saywhere.__file__
assert list(MODELS) == sorted(MODELS)
read_recipe("my-method")
fast = ["model.options={backbone: mobilenetv2_050, channels: 16}", "model.pretrained=null", "crop.size=64", "batch=2",
        "workers=0"]
recipe = read_recipe("my-method-small", [*fast, f"data=[{{path: {sys.argv[2]}}}]"])
crops = CropDataset(recipe)
trainer = Trainer(recipe, launch(recipe), crops)
assert math.isfinite(trainer.learn(collate([crops[0], crops[1]]), 0.0))
sys.path.insert(0, sys.argv[1] + "/tests/support")
import network_contract
assert network_contract.SMALL_OPTIONS["my-method"]
print(type(trainer.model).__name__)
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The parts of a clone that are changed, and the package."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.pyc", "static", "samples"))
    (folder / "tests" / "support").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "support" / "network_contract.py", folder / "tests" / "support")
    return folder


def test_a_new_network_takes_a_training_step(clone: Path, coco: Path) -> None:
    written = new_model("my-method", clone)
    assert len(written) == 5
    environment = {**os.environ, "PYTHONPATH": str(clone / "src")}
    done = subprocess.run(
        [sys.executable, "-c", STEP, str(clone), str(coco)], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "MyMethod\n", done.stderr
    lint = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml")]
    subprocess.run([*lint, "check", *config, *map(str, written[:1]), *map(str, written[3:4])], check=True)
    subprocess.run([*lint, "format", "--check", *config, str(written[0]), *map(str, written[3:])], check=True)
    with pytest.raises(SaywhereError, match="is taken"):
        new_model("my-method", clone)


def test_what_cannot_be_made_changes_nothing(clone: Path, tmp_path: Path) -> None:
    registry = (clone / "src/saywhere/models/__init__.py").read_text()
    for name, words in (("My Method", "lower-case"), ("-x", "my-method"), ("base", "is taken"), ("dctnet", "is taken")):
        with pytest.raises(SaywhereError, match=words):
            new_model(name, clone)
    with pytest.raises(SaywhereError, match="is no clone of the project"):
        new_model("mine", tmp_path)
    assert (clone / "src/saywhere/models/__init__.py").read_text() == registry
