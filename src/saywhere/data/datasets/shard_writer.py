"""Writes a dataset as shards, see :mod:`saywhere.data.datasets.shards`."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from saywhere.core.atomic import atomic_output
from saywhere.core.rle import RunLengths
from saywhere.data.datasets.sample import Sample, SampleTable
from saywhere.errors import SaywhereError

IMAGES = 1000  # in a shard


def write_shards(
    samples: Sequence[Sample], dest: Path, images: int = IMAGES, advance: Callable[[], None] = lambda: None
) -> int:
    """Write the images and masks of a dataset into ``dest/00000.tar`` and so on, in their order.

    Images are copied as they are. The same dataset gives the same bytes.

    Args:
        samples: the objects; those of one image follow each other in its member.
        dest: a new folder.
        images: how many there are in a shard.
        advance: called after each image.

    Returns:
        The number of shards.

    Raises:
        SaywhereError: the folder holds something, an image or a mask cannot be read, or nothing can be written.
    """
    count = 0
    with atomic_output(dest) as folder:
        folder.mkdir()
        shard: tarfile.TarFile | None = None
        for number, of_image in enumerate(_by_image(samples)):
            if number % images == 0:
                if shard is not None:
                    shard.close()
                shard = tarfile.open(folder / f"{count:05d}.tar", "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
                count += 1
            assert shard is not None
            _add_image(shard, f"{number:09d}", of_image)
            advance()
        if shard is None:
            raise SaywhereError("no object to write")
        shard.close()
    return count


def _by_image(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    rows: dict[Any, list[int]] = {}
    keys = samples.images.tolist() if isinstance(samples, SampleTable) else [each.image_path for each in samples]
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    for of_image in rows.values():
        yield [samples[row] for row in of_image]


def _add_image(shard: tarfile.TarFile, key: str, samples: Sequence[Sample]) -> None:
    path = samples[0].image_path
    try:
        content = samples[0].member.content() if samples[0].member is not None else path.read_bytes()
    except OSError as error:
        raise SaywhereError(f"photograph '{path}': cannot be read ({error.strerror or error})") from error
    annotations = [_annotation(sample) for sample in samples]
    height, width = annotations[0]["segmentation"]["size"]
    image = {"file_name": path.name, "group": samples[0].group, "width": width, "height": height}
    _add(shard, f"{key}{path.suffix.lower()}", content)
    _add(shard, f"{key}.json", json.dumps({"image": image, "annotations": annotations}).encode())


def _annotation(sample: Sample) -> dict[str, Any]:
    ignored = sample.ignore()
    known = {"label": sample.label, "phrase": sample.phrase, "expressions": list(sample.expressions)}
    region = None if ignored is None else RunLengths.from_mask(ignored).as_annotation()["segmentation"]
    return {
        "id": sample.name,
        **{name: value for name, value in known.items() if value},
        **sample.region().as_annotation(),
        **({"ignore_region": region} if region else {}),
    }


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))
