"""Weights as a folder, and on the Hugging Face hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import saywhere
from saywhere import SaywhereError, Segmenter
from saywhere.runtime.hub import pretrained, push_to_hub, save_pretrained
from saywhere.runtime.weights import WEIGHTS, load_runtime
from saywhere.storage.tensors import read_tensor_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saywhere.load().save_pretrained(tmp_path_factory.mktemp("hub") / "new" / "folder")


def test_a_saved_folder_gives_the_same_masks(folder: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
    ours, theirs = (segmenter.set_image(image).click(40, 30) for segmenter in
                    (saywhere.load(), Segmenter.from_pretrained(folder)))  # fmt: skip
    assert np.array_equal(ours.logits, theirs.logits)
    assert load_runtime(folder).capabilities.backend == "onnxruntime"


def test_the_card_and_the_configuration_say_what_the_weights_are(folder: Path) -> None:
    file = read_tensor_file(WEIGHTS / "saywhere.safetensors")
    config = json.loads((folder / "config.json").read_text())
    assert config == {
        "library": "saywhere", "network": "saywhere", "options": file.metadata["options"], "sha256": file.digest
    }  # fmt: skip
    _, head, card = (folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["library_name"] == "saywhere"
    assert yaml.safe_load(head)["license"] == "apache-2.0"
    assert file.digest in card
    assert all(path in card for path in file.metadata["data"])


def test_further_files_of_a_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    save_pretrained("saywhere", tmp_path)
    save_pretrained("saywhere", tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_catalogue_has_the_digest_of_each_file() -> None:
    catalogue = pretrained()
    assert catalogue["saywhere"].digest == load_runtime().digest
    assert catalogue["saywhere"].size == (WEIGHTS / "saywhere.safetensors").stat().st_size


def test_a_repository_of_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked: list[tuple[str, Any]] = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert saywhere.load("somebody/weights").runtime.digest == load_runtime().digest
    assert asked == [("somebody/weights", ["weights.safetensors", "weights.onnx.zip", "shared/*.safetensors"])]
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(folder.parent))
    with pytest.raises(SaywhereError, match=r"somebody/weights.*no weights\.safetensors"):
        saywhere.load("somebody/weights")


def test_uploading(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    uploaded: dict[str, Any] = {}

    class Api:
        def create_repo(self, name: str, private: bool, exist_ok: bool) -> None:
            uploaded.update(name=name, private=private)

        def upload_folder(self, folder_path: str, repo_id: str, commit_message: str) -> str:
            uploaded["files"] = sorted(path.name for path in Path(folder_path).iterdir())
            return f"https://huggingface.co/{repo_id}/commit/1"

    monkeypatch.setattr(hub, "HfApi", Api)
    assert saywhere.load().push_to_hub("me/mine", private=True) == "https://huggingface.co/me/mine/commit/1"
    files = ["README.md", "config.json", "weights.onnx.zip", "weights.safetensors"]
    assert uploaded == {"name": "me/mine", "private": True, "files": files}


@pytest.mark.parametrize("name", ["mine", "a/b/c", "../x"])
def test_repositories_that_are_none(name: str) -> None:
    with pytest.raises(SaywhereError, match="owner/name"):
        push_to_hub(None, name)


def test_a_method_without_weights_is_not_saved(tmp_path: Path) -> None:
    from saywhere.runtime.base import Runtime

    class Nothing(Runtime):
        name = "nothing"

    with pytest.raises(SaywhereError, match=r"nothing.*no weights file"):
        Segmenter(Nothing()).save_pretrained(tmp_path)  # type: ignore[abstract]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaywhereError, match="cannot be made"):
        save_pretrained(None, tmp_path / "file" / "folder")
