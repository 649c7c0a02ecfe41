"""What the adapter uses of FiftyOne, by its documents, for machines without its database: datasets in memory.

Labels are FiftyOne's own where it is installed.
"""

from __future__ import annotations

import copy
import itertools
import sys
import types
from typing import Any

DATASETS: dict[str, Dataset] = {}


class Labels:
    """A label, or several: any fields, and a copy of its own."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update({"tags": [], "mask": None, "confidence": None, **fields})

    def copy(self) -> Labels:
        return copy.deepcopy(self)


class Sample:
    """An image's fields; what is not saved is lost."""

    def __init__(self, filepath: str) -> None:
        self.fields: dict[str, Any] = {"id": None, "filepath": filepath}
        self.dataset: Dataset | None = None

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.fields[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["fields"][name]
        except KeyError as error:
            raise AttributeError(name) from error

    def has_field(self, name: str) -> bool:
        return name in self.fields

    def save(self) -> None:
        assert self.dataset is not None, "only samples of a dataset can be saved"
        self.dataset.stored[self.id] = dict(self.fields)
        for name in self.fields:
            self.dataset.schema.setdefault(name, None)


class Dataset:
    """Samples by number."""

    def __init__(self, name: str) -> None:
        self.name, self.stored, self._ids = name, {}, itertools.count(1)
        self.stored: dict[str, dict[str, Any]]
        self.schema: dict[str, Any] = {"id": None, "filepath": None}
        DATASETS[name] = self

    def delete(self) -> None:
        del DATASETS[self.name]

    def add_sample(self, sample: Sample) -> None:
        sample["id"], sample.dataset = f"{next(self._ids):024}", self
        sample.save()

    def add_sample_field(self, name: str, ftype: Any, embedded_doc_type: Any = None) -> None:
        self.schema[name] = (ftype, embedded_doc_type)

    def has_sample_field(self, name: str) -> bool:
        return name in self.schema

    def get_field_schema(self) -> dict[str, Any]:
        return self.schema

    def __getitem__(self, id: str) -> Sample:
        sample = Sample("")
        sample.fields, sample.dataset = {**dict.fromkeys(self.schema), **self.stored[id]}, self
        return sample

    def __len__(self) -> int:
        return len(self.stored)

    def first(self) -> Sample:
        return self[next(iter(self.stored))]

    def view(self) -> DatasetView:
        return DatasetView(self, list(self.stored))

    def exists(self, field: str, bool: bool = True) -> DatasetView:
        return self.view().exists(field, bool)


class DatasetView:
    """Some samples of a dataset."""

    def __init__(self, dataset: Dataset, ids: list[str]) -> None:
        self._dataset, self._ids = dataset, ids

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def __getitem__(self, id: str) -> Sample:
        return self._dataset[id]

    def __len__(self) -> int:
        return len(self._ids)

    def exists(self, field: str, bool: bool = True) -> DatasetView:
        stored = self._dataset.stored
        return DatasetView(self._dataset, [id for id in self._ids if (stored[id].get(field) is not None) == bool])

    def values(self, field: str) -> list[Any]:
        return [self._dataset.stored[id].get(field) for id in self._ids]


def install() -> types.ModuleType:
    """Take the place of the module ``fiftyone``, with its own labels if it is there."""
    made = types.ModuleType("fiftyone")
    try:
        import fiftyone

        labels = {name: getattr(fiftyone, name) for name in ("Detection", "Detections", "EmbeddedDocumentField")}
    except ImportError:
        labels = {"Detection": Labels, "Detections": Labels, "EmbeddedDocumentField": object}
    made.__dict__.update(
        labels, Sample=Sample, Dataset=Dataset, DatasetView=DatasetView, dataset_exists=DATASETS.__contains__,
        list_datasets=lambda: list(DATASETS), load_dataset=DATASETS.__getitem__,
    )  # fmt: skip
    sys.modules["fiftyone"] = made
    return made
