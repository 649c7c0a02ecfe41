"""The built wheel in a bare environment without torch: what a person has after ``pip install saywhere``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saywhere.annotate.sample_images import SAMPLES

ROOT = Path(__file__).parents[2]
IMAGE = SAMPLES / "chelsea.jpg"

pytestmark = pytest.mark.slow


class Bare:
    """An environment into which nothing but the wheel and what it needs was installed."""

    def __init__(self, folder: Path) -> None:
        source, self.folder = folder / "source", folder / "environment"
        source.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        pip = ["pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([sys.executable, "-m", *pip, "wheel", "--no-deps", "--wheel-dir", folder, source], check=True)
        (wheel,) = folder.glob("*.whl")
        subprocess.run([sys.executable, "-m", "venv", self.folder], check=True)
        subprocess.run([self.python, "-m", *pip, "install", "--no-compile", wheel], check=True)

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def environment(self) -> dict[str, str]:
        return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, "COLUMNS": "200"}

    def run(self, *command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-m", *map(str, command)],
            cwd=cwd, env=self.environment(), capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def saywhere(self, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        return self.run("saywhere.cli", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    return Bare(tmp_path_factory.mktemp("wheel"))


def test_it_holds_no_torch_and_at_most_400_mb(bare: Bare, tmp_path: Path) -> None:
    listed = json.loads(bare.run("pip", "list", "--format", "json", cwd=tmp_path).stdout)
    names = {package["name"].lower() for package in listed}
    assert "saywhere" in names
    assert not names & {"torch", "torchvision", "timm", "scipy", "scikit-image", "pymaxflow", "huggingface-hub"}
    files = [path for path in bare.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < 400e6


def test_it_segments_by_click_and_by_phrase(bare: Bare, tmp_path: Path) -> None:
    for prompt in (("--click", "230,140"), ("--say", "cat")):
        result = bare.saywhere("segment", IMAGE, *prompt, "--out", "mask.png", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        mask = np.asarray(Image.open(tmp_path / "mask.png")) > 0
        assert mask[140, 230]
        assert not mask[20, 430]
        assert 0.3 < mask.mean() < 0.8


def test_its_mask_is_that_of_the_environment_with_torch(bare: Bare, tmp_path: Path) -> None:
    code = "import saywhere, sys; m = saywhere.load().set_image(sys.argv[1]).click(230, 140); print(m.array.sum())"
    code += "; print('torch' in sys.modules)"
    results = [
        subprocess.run([python, "-c", code, IMAGE], env=environment, capture_output=True, text=True, check=True).stdout
        for python, environment in ((bare.python, bare.environment()), (sys.executable, None))
    ]
    assert results[0].split()[1] == "False"
    assert results[0] == results[1]


def test_doctor_and_models_say_what_is_missing(bare: Bare, tmp_path: Path) -> None:
    for verb in ("doctor", "models"):
        result = bare.saywhere(verb, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert "saywhere[torch]" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["train", "recipe.yaml"], "torch"),
        (["bench", "--data", "set.json", "--model", "random-walker", "--json", "out.json"], "bench"),
        (["segment", IMAGE, "--click", "5,5", "--weights", "somebody/weights"], "hub"),
    ],
)
def test_what_needs_an_extra_names_it_in_one_line(
    bare: Bare, tmp_path: Path, coco: Path, arguments: list[object], extra: str
) -> None:
    shutil.copy(coco, tmp_path / "set.json")
    result = bare.saywhere(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert f"pip install 'saywhere[{extra}]'" in result.stderr


def test_it_measures_and_converts(bare: Bare, coco: Path, tmp_path: Path) -> None:
    result = bare.saywhere("bench", "--data", coco, "--clicks", 2, "--limit", 2, "--json", "out.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "out.json").read_text())["objects"] == 2
    result = bare.saywhere("convert", coco, "converted", "--to", "labelme", cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_it_annotates(bare: Bare, tmp_path: Path) -> None:
    """The page's first request for an image and a click on it, over HTTP."""
    (tmp_path / "images").mkdir()
    shutil.copy(IMAGE, tmp_path / "images")
    command = [bare.python, "-m", "saywhere.cli", "annotate", tmp_path / "images", "--no-browser", "--port", "0"]
    with subprocess.Popen(command, env=bare.environment(), stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            address = next(
                (found[1] for line in server.stderr if (found := re.search(r"open (http://\S+/)", line))), ""
            )
            action = {"kind": "click", "x": 230, "y": 140}
            body = json.dumps({"key": "wheel-click-1", "base": 0, "action": action}).encode()
            headers = {"X-Saywhere-Client": "wheel-test", "Content-Type": "application/json"}
            request = urllib.request.Request(f"{address}api/images/1/events", body, headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert json.load(answer)["masks"]
        finally:
            server.terminate()


def test_a_program_that_uses_it_is_checked_by_its_types(bare: Bare, tmp_path: Path) -> None:
    """The wheel carries ``py.typed``: a type checker reads the annotations of the installed package."""
    program = tmp_path / "program.py"
    program.write_text(
        "import saywhere\n"
        "mask = saywhere.load().set_image('photo.jpg').click(1, 2)\n"
        "reveal_type(mask.score)\n"
        "saywhere.load().click('left', 2)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", bare.python, program]
    result = subprocess.run(command, cwd=tmp_path, env=bare.environment(), capture_output=True, text=True, check=False)
    assert 'Revealed type is "float"' in result.stdout
    assert 'program.py:4: error: Argument 1 to "click"' in result.stdout
    assert "Found 1 error in 1 file" in result.stdout
