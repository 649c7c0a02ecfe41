"""What every dataset of the catalogue must do. A dataset is tested by being in DATASETS and having a toy tree."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import BOX, OTHER, SIZE, build, tree_of
from PIL import Image
from trees import same

from saywhere import SaywhereError
from saywhere.core.images import read_image
from saywhere.data.datasets import DATASETS, Sample, load_dataset
from saywhere.data.datasets.check import check, describe_local


@pytest.mark.parametrize("name", DATASETS)
class TestEveryDataset:
    def test_what_a_person_must_know(self, name: str) -> None:
        known = DATASETS[name]
        assert known.name == name
        assert known.places
        assert known.url
        assert known.licence
        assert tree_of(name), "give it a toy tree in dataset_trees.TREES"
        documented = (Path(__file__).parents[3] / "research" / "datasets.json").read_text()
        assert f"`{name.partition(':')[0]}" in documented, f"research/datasets.json lacks {name}"

    def test_its_objects(self, root: Path, name: str) -> None:
        build(root, name)
        samples = load_dataset(name)
        first, second = samples
        assert same(first.target(), BOX)
        assert same(second.target(), OTHER)
        for sample in samples:
            ignore = sample.ignore()
            assert ignore is None or same(ignore, np.zeros(SIZE, bool))
            assert read_image(sample.image_path).shape[:2] == SIZE
            assert sample.source is not None
            assert sample.source.exists()
            assert sample.group
        assert len({sample.name for sample in samples}) == 2
        assert check(samples) == []
        assert describe_local(DATASETS[name]) == "2 objects"

    def test_at_each_of_its_places(self, root: Path, name: str) -> None:
        for number, place in enumerate(DATASETS[name].places):
            if place.endswith("instances.json"):
                continue  # leeds-butterfly as COCO JSON has a test of its own
            moved = root / str(number)
            moved.mkdir()
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SAYWHERE_DATA", str(moved))
                build(moved, name, place)
                assert len(load_dataset(name)) == 2

    def test_its_samples_travel_to_other_processes(self, root: Path, name: str) -> None:
        build(root, name)
        samples: list[Sample] = pickle.loads(pickle.dumps(load_dataset(name)))
        assert same(samples[0].target(), BOX)
        assert same(samples[1].target(), OTHER)

    def test_it_is_not_here(self, root: Path, name: str) -> None:
        with pytest.raises(SaywhereError, match="SAYWHERE_DATA"):
            load_dataset(name)
        assert describe_local(DATASETS[name]) == "no"

    def test_it_is_in_another_layout(self, root: Path, name: str) -> None:
        place = root / DATASETS[name].places[0]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("[]") if place.suffix else place.mkdir()
        with pytest.raises(SaywhereError) as caught:
            load_dataset(name)
        assert str(place) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "another layout" in describe_local(DATASETS[name])

    def test_a_missing_image(self, root: Path, name: str) -> None:
        build(root, name)
        samples = load_dataset(name)
        path = samples[0].image_path
        path.unlink()
        faults = check(samples)
        assert any(f"'{path}'" in fault and "there is no such file" in fault for fault in faults)

    def test_an_image_of_another_size(self, root: Path, name: str) -> None:
        build(root, name)
        samples = load_dataset(name)
        Image.new("RGB", (31, 44)).save(samples[0].image_path)
        assert any("the mask is 30x20; expected 31x44, as the photograph" in fault for fault in check(samples))

    @pytest.mark.parametrize("damage", ["empty", "half", "zeros", "text", "gone"])
    def test_damaged_files_give_one_clear_line(self, root: Path, name: str, damage: str) -> None:
        """Whatever file is damaged, what is not of it is read, or it is named; nothing else is raised."""
        build(root, name)
        images = {sample.image_path for sample in load_dataset(name)}
        for path in sorted(path for path in root.rglob("*") if path.is_file() and path not in images):
            content = path.read_bytes()
            path.unlink()
            if damage != "gone":
                made = {"empty": b"", "half": content[: len(content) // 2], "zeros": bytes(99), "text": b"[1, {}\n\xff"}
                path.write_bytes(made[damage])
            error = attempt(name)
            assert error is None or "\n" not in error
            path.write_bytes(content)


def attempt(name: str) -> str | None:
    """Read all of a dataset; the text of its SaywhereError when there is one."""
    try:
        for sample in load_dataset(name):
            sample.target()
            sample.ignore()
    except SaywhereError as error:
        return str(error)
    return None
