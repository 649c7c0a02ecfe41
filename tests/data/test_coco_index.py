"""The index of large COCO JSON: it says what the file says, is kept, and is made anew when it no longer fits."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saywhere.data import coco_index
from saywhere.data.coco import read_coco_file
from saywhere.data.datasets import load_dataset
from saywhere.data.datasets.coco import CocoSamples
from saywhere.training.recipe import Recipe
from saywhere.training.targets import Targets, list_targets, sampling_probabilities

pytest.importorskip("msgspec")
LINE = [[5, 5, 30, 5, 30, 30]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(coco_index, "LARGE", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "saywhere" / "coco"


@pytest.fixture
def mixed(coco: Path) -> Path:
    """The data of ``coco`` with parts, crowds, boxes, run lengths, spaces, and text beyond ASCII."""
    content = json.loads(coco.read_text())
    first = content["annotations"][0]
    more = [
        {"segmentation": [[26, 20, 40, 20, 40, 30, 26, 30]], "category_id": 2},
        {"segmentation": LINE, "iscrowd": 1},
        {"segmentation": [ ], "bbox": [1, 2, 3, 4]},
        {"segmentation": {"size": [90, 120], "counts": [900, 9900]}, "ignore_region": LINE},
        {"segmentation": [[5, 5, 5, 5, 5, 5]], "image_id": 2},
        {"segmentation": LINE, "image_id": 2, "category_id": 2},
    ]  # fmt: skip
    content["annotations"] += [{**first, **each, "id": 100 + i} for i, each in enumerate(more)]
    content["categories"].append({"id": 2, "name": "Bär \U0001f43b"})
    content |= {"licenses": [{"id": 1, "name": "free"}], "info": {"year": 2026}}
    coco.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    return coco


def facts(path: Path) -> list[Any]:
    """All that training and measuring learn of a file."""
    samples = load_dataset(str(path))
    recipe = Recipe.model_validate(
        {"model": {"name": "saywhere"}, "data": [{"path": str(path), "label_weights": {"card": 0.3}}]}
    )
    targets = list_targets(recipe)
    by_image = recipe.sampling.model_copy(update={"unit": "image"})
    return [
        [(s.name, s.label, s.image_path, s.group, s.region(), s.ignore() is None) for s in samples],
        [
            (t.sample.name, t.region, t.box, t.is_part, t.others, t.label, t.weight, t.share)
            for t in (targets[i] for i in range(len(targets)))
        ],
        sampling_probabilities(recipe, targets, recipe.sampling, 0.4).tolist(),
        sampling_probabilities(recipe, list(targets), by_image).tolist(),
        sampling_probabilities(recipe, targets, by_image).tolist(),
        targets.image_paths(),
    ]


def test_it_says_what_the_file_says(mixed: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(coco_index, "LARGE", 1 << 40)
        expected, whole = facts(mixed), read_coco_file(mixed)
    file = read_coco_file(mixed)
    assert file.index is not None
    assert isinstance(load_dataset(str(mixed)), CocoSamples)
    assert (dict(file.images), list(file.annotations)) == (dict(whole.images), list(whole.annotations))
    assert (file.categories, file.licenses, file.others) == (whole.categories, whole.licenses, whole.others)
    assert facts(mixed) == expected
    assert facts(mixed) == expected  # from what was kept
    assert any(part for *_, part, _, _, _, _ in [(t[3], *t[4:]) for t in expected[1]])


def test_it_is_kept_and_made_anew_when_the_file_changes(
    mixed: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[int] = []
    scan = coco_index._scan
    monkeypatch.setattr(coco_index, "_scan", lambda content: (scans.append(1), scan(content))[1])
    (before,) = {len(load_dataset(str(mixed))) for _ in range(3)}
    assert len(scans) == 1
    content = json.loads(mixed.read_text())
    content["annotations"].pop()
    mixed.write_text(json.dumps(content))
    assert len(load_dataset(str(mixed))) == before - 1
    assert len(scans) == 2
    assert len(list(cache.glob("*.index"))) == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "bits", "text"])
def test_a_damaged_index_is_made_anew(mixed: Path, cache: Path, damage: str) -> None:
    expected = facts(mixed)
    for file in (*cache.glob("*.index"), *(cache.parent / "masks").glob("*.masks")):
        content = bytearray(file.read_bytes())
        content[-9] ^= 255
        damaged = {"cut": bytes(content[: len(content) // 2]), "empty": b"", "bits": bytes(content), "text": b"{" * 99}
        file.write_bytes(damaged[damage])
    assert facts(mixed) == expected


def test_a_cache_that_cannot_be_written(
    mixed: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a full disk: the index is made at each start."""
    expected = facts(mixed)
    for file in cache.glob("*.index"):
        file.unlink()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert facts(mixed) == expected
    assert "No space left on device" in caplog.text
    assert not list(cache.glob("*.index"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(mixed))  # a file, in which there is no folder
    assert facts(mixed) == expected


def test_a_file_that_is_not_strict_json_is_read_whole(mixed: Path, cache: Path) -> None:
    mixed.write_text(mixed.read_text().replace('"year": 2026', '"year": NaN'))
    file = read_coco_file(mixed)
    assert file.index is None
    assert np.isnan(file.others["info"]["year"])


def test_a_file_that_changes_under_its_index(mixed: Path, cache: Path) -> None:
    samples = load_dataset(str(mixed))
    mixed.write_bytes(b" " * mixed.stat().st_size)
    with pytest.raises(Exception, match="was changed while it was read"):
        samples[0].region()


def test_it_passes_to_other_processes(mixed: Path, cache: Path) -> None:
    samples = load_dataset(str(mixed))
    copied = pickle.loads(pickle.dumps(samples))
    assert [each.name for each in copied] == [each.name for each in samples]


def open_it(path: str) -> int:
    return len(load_dataset(path))


def test_processes_that_start_together_scan_once(mixed: Path, cache: Path) -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert len(set(pool.map(open_it, [str(mixed)] * 3))) == 1
    assert len(list(cache.glob("*.index"))) == 1


def test_targets_are_a_sequence(mixed: Path, cache: Path) -> None:
    recipe = Recipe.model_validate({"model": {"name": "saywhere"}, "data": [{"path": str(mixed)}] * 2})
    targets = list_targets(recipe)
    assert isinstance(targets, Targets)
    half = len(targets) // 2
    assert [t.data for t in targets] == [0] * half + [1] * half
    assert targets[-1].others == tuple(i + half for i in targets[half - 1].others)
    assert targets[half:][0].sample.name == targets[0].sample.name
    with pytest.raises(IndexError):
        targets[len(targets)]
    assert os.fspath(mixed) in str(targets[0].sample.source)
