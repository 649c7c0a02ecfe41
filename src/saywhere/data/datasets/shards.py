"""Shards: images and their masks in tar files, local or by address, as those of WebDataset and of SA-1B.

A shard holds, for each key, ``KEY.jpg`` (or another image) and one of

- ``KEY.json``: ``{"image": {"width", "height"}, "annotations": [{"id", "segmentation"}]}``, the layout of SA-1B, where
  annotations may also have ``label``, ``phrase``, ``expressions`` and ``ignore_region``;
- ``KEY.mask.png``: a grey or palette image in which each value above 0 is an object.

Each shard is read once to find where its members lie; later only the parts that are needed are read, in any order.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from saywhere.core.arrays import ImageArray
from saywhere.core.images import IMAGE_SUFFIXES, UNREADABLE, decode_image
from saywhere.core.rle import RunLengths
from saywhere.data.checks import check_label, check_size
from saywhere.data.datasets.sample import Sample, SampleTable, nothing_ignored, numbered
from saywhere.errors import SaywhereError
from saywhere.storage.arrays import KeptArrays, keep_arrays
from saywhere.storage.cache import cache_folder
from saywhere.storage.remote import file_system, is_address, open_file, read_part, version_of

VERSION = 1  # of kept indices
MASK_SUFFIX, JSON_SUFFIX = ".mask.png", ".json"
KEPT = 64  # images whose annotations are kept in memory
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class Member:
    """A file in a tar file.

    Attributes:
        shard: the tar file.
        name: of the member.
        start, size: where its content lies, in bytes.
    """

    shard: str
    name: str
    start: int
    size: int

    def content(self) -> bytes:
        """Its content."""
        return read_part(self.shard, self.start, self.size)

    def read_image(self) -> ImageArray:
        """Its ``(H, W, 3)`` pixels. SaywhereError when it is no image."""
        return decode_image(self.content(), f"photograph '{self.name}' in '{self.shard}'")


def is_shards(name: str) -> bool:
    """Whether a name is that of tar files."""
    return name.endswith(".tar")


def find_shards(name: str, root: Path | None) -> list[str]:
    """The tar files that a name means, sorted.

    Args:
        name: a path or address; ``{000..012}`` counts, ``*`` stands for anything.
        root: the folder that local names are relative to, where they are not there as given.

    Raises:
        SaywhereError: there is none.
    """
    names = list(_counted(name))
    found: list[str] = []
    for each in names:
        if is_address(each):
            found += _listed(each) if "*" in each else [each]
            continue
        places = [each, *([str(root / each)] if root else [])]
        found += next((files for place in places if (files := _local(place))), [])
    if len(found) < len(names):
        raise SaywhereError(f"data '{name}': {len(found)} of its tar files are there, expected {len(names)} or more")
    return found


def _counted(name: str) -> Iterator[str]:
    match = _RANGE.search(name)
    if match is None:
        yield name
        return
    first, last = match[1], match[2]
    for number in range(int(first), int(last) + 1):
        yield from _counted(f"{name[: match.start()]}{number:0{len(first)}d}{name[match.end() :]}")


def _local(name: str) -> list[str]:
    path = Path(name)
    if "*" in path.name:
        return sorted(str(each) for each in path.parent.glob(path.name))
    return [name] if path.is_file() else []


def _listed(pattern: str) -> list[str]:
    system, path = file_system(pattern)
    return [system.unstrip_protocol(each) for each in sorted(system.glob(path))]


class ShardSamples(SampleTable):
    """The objects of shards; images and masks are read when they are asked for.

    Args:
        shards: tar files.

    Raises:
        SaywhereError: one cannot be read, or holds an image without annotations.
    """

    def __init__(self, shards: Sequence[str]) -> None:
        self.shards = list(shards)
        kept = [_index(shard) for shard in shards]
        firsts = np.cumsum([0, *(len(each.arrays["places"]) for each in kept)])
        self._firsts = firsts
        self._kept = kept
        self.images = np.concatenate(
            [each.arrays["images"] + np.int32(first) for each, first in zip(kept, firsts, strict=False)]
        ).astype(np.int32)
        self._numbers = np.concatenate([each.arrays["numbers"] for each in kept])  # of objects in their images
        names = [each.about["names"][label] for each in kept for label in each.arrays["labels"].tolist()]
        self.labels, self.names = numbered(names)
        self.place, self.key = self.shards[0], [each.about["version"] for each in kept]
        self._annotations = lru_cache(KEPT)(self._read_annotations)

    def image_path(self, image: int) -> Path:
        """What an image is called: there is no such file."""
        member = self.image_member(image)
        return Path(member.shard) / member.name

    def image_member(self, image: int) -> Member:
        """Where an image lies."""
        return self._member(image, 0)

    def group(self, image: int) -> str:
        """The folder that an image came from."""
        shard, row = self._place(image)
        return str(self._kept[shard].about["groups"][row])

    def row(self, row: int) -> Sample:
        """The object in a row."""
        image = int(self.images[row])
        annotation = self._annotations(image)[int(self._numbers[row])]
        member = self.image_member(image)
        region = annotation.region
        return Sample(
            name=annotation.name,
            image_path=self.image_path(image),
            target=region.mask,
            ignore=nothing_ignored if annotation.ignored is None else annotation.ignored.mask,
            label=annotation.label,
            phrase=annotation.phrase,
            expressions=annotation.expressions,
            group=self.group(image),
            source=Path(member.shard),
            encoded=partial(_itself, region),
            member=member,
        )

    def _place(self, image: int) -> tuple[int, int]:
        shard = int(np.searchsorted(self._firsts, image, "right")) - 1
        return shard, image - int(self._firsts[shard])

    def _member(self, image: int, which: int) -> Member:
        shard, row = self._place(image)
        start, size = self._kept[shard].arrays["places"][row, 2 * which : 2 * which + 2].tolist()
        return Member(self.shards[shard], self._kept[shard].about["members"][row][which], start, size)

    def _read_annotations(self, image: int) -> list[ShardObject]:
        member = self._member(image, 1)
        return read_annotations(member.content(), member.name, member.shard)


def _itself(region: RunLengths) -> RunLengths:
    return region


@dataclass(frozen=True)
class ShardObject:
    """An object of an image in a shard; attributes as of :class:`Sample`."""

    name: str
    region: RunLengths
    label: str | None = None
    phrase: str | None = None
    expressions: tuple[str, ...] = ()
    ignored: RunLengths | None = None
    group: str = ""


def read_annotations(content: bytes, name: str, shard: str) -> list[ShardObject]:
    """The objects that a member of a shard describes.

    Args:
        content: of the member.
        name: of the member, which says what it is.
        shard: the tar file, for messages.

    Raises:
        SaywhereError: it is in neither layout.
    """
    try:
        return _from_mask(content, name) if name.endswith(MASK_SUFFIX) else list(_from_json(content, name))
    except SaywhereError as error:
        raise SaywhereError(f"'{name}' in '{shard}': {error}") from error


def _from_mask(content: bytes, name: str) -> list[ShardObject]:
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.mode not in ("L", "P", "I;16", "I"):
                raise SaywhereError(f"{image.mode} image; expected grey values or a palette, each an object")
            values = np.array(image)
    except SaywhereError:
        raise
    except UNREADABLE as error:
        raise SaywhereError(f"no PNG image ({error})") from error
    key = name.removesuffix(MASK_SUFFIX)
    return [ShardObject(f"{key}/{v}", RunLengths.from_mask(values == v)) for v in np.unique(values).tolist() if v]


def _from_json(content: bytes, name: str) -> Iterator[ShardObject]:
    try:
        read = json.loads(content)
        image, annotations = read["image"], read["annotations"]
        size = check_size(image.get("width"), image.get("height"))
        given = [(each, each["segmentation"], each.get("id", number)) for number, each in enumerate(annotations)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, SaywhereError):
            raise
        expected = "expected image with width and height, and annotations with a segmentation each, as in SA-1B"
        raise SaywhereError(f"{expected} ({type(error).__name__}: {error})") from error
    for each, segmentation, number in given:
        ignored = each.get("ignore_region")
        expressions = each.get("expressions") or ()
        yield ShardObject(
            name=str(number),
            region=RunLengths.from_coco(segmentation, size),
            label=check_label(each.get("label")),
            phrase=check_label(each.get("phrase")),
            expressions=tuple(str(text) for text in expressions),
            ignored=RunLengths.from_coco(ignored, size) if ignored else None,
            group=str(image.get("group", "")),
        )


def _index(shard: str) -> KeptArrays:
    """Where the members of a shard lie, and its objects; kept in the user's cache folder."""
    place = shard if is_address(shard) else str(Path(shard).resolve())
    key = {"version": VERSION, "shard": place, **version_of(shard)}
    name = hashlib.sha256(place.encode()).hexdigest()[:24]
    return keep_arrays(cache_folder(None, "shards") / f"{name}.index", key, partial(_scan, shard, key))


def _scan(shard: str, key: Mapping[str, Any]) -> KeptArrays:
    """Read a shard from its beginning to its end."""
    pictures: dict[str, tuple[str, int, int]] = {}
    described: dict[str, tuple[str, int, int]] = {}
    objects: dict[str, list[ShardObject]] = {}
    try:
        # A file by address is read as a pipe: asking for its parts, one after another, takes longer.
        mode: Literal["r|", "r:"] = "r|" if is_address(shard) else "r:"
        source = open_file(shard) if is_address(shard) else Path(shard).open("rb")  # noqa: SIM115
        with source as file, tarfile.open(fileobj=file, mode=mode) as tar:
            for member in tar:
                folder, _, base = member.name.rpartition("/")
                stem = f"{folder}/{base.partition('.')[0]}"
                place = member.name, member.offset_data, member.size
                if not member.isfile() or base.startswith("."):
                    continue
                if member.name.endswith((MASK_SUFFIX, JSON_SUFFIX)):
                    described[stem] = place
                    content = tar.extractfile(member)
                    assert content is not None
                    objects[stem] = read_annotations(content.read(), member.name, shard)
                elif Path(member.name).suffix.lower() in IMAGE_SUFFIXES:
                    pictures[stem] = place
    except (OSError, tarfile.TarError, EOFError) as error:
        raise SaywhereError(f"shard '{shard}': cannot be read as an uncompressed tar file ({error})") from error
    return _arrays(shard, key, pictures, described, objects)


def _arrays(
    shard: str,
    key: Mapping[str, Any],
    pictures: Mapping[str, tuple[str, int, int]],
    described: Mapping[str, tuple[str, int, int]],
    objects: Mapping[str, Sequence[ShardObject]],
) -> KeptArrays:
    if lacking := [name for name in pictures if name not in described]:
        raise SaywhereError(
            f"shard '{shard}': {len(lacking):,} images lack annotations, the first '{pictures[lacking[0]][0]}'; "
            f"expected a member KEY{JSON_SUFFIX} or KEY{MASK_SUFFIX} beside each"
        )
    if not pictures:
        raise SaywhereError(f"shard '{shard}': holds no image")
    of_objects = [(row, number, each) for row, stem in enumerate(pictures) for number, each in enumerate(objects[stem])]
    labels, names = numbered(each.label for _, _, each in of_objects)
    return KeptArrays(
        {
            "places": np.array([[*pictures[stem][1:], *described[stem][1:]] for stem in pictures], np.int64),
            "images": np.array([row for row, _, _ in of_objects], np.int32),
            "numbers": np.array([number for _, number, _ in of_objects], np.int32),
            "labels": labels,
        },
        {
            "names": names,
            "members": [[pictures[stem][0], described[stem][0]] for stem in pictures],
            "groups": [objects[stem][0].group if objects[stem] else "" for stem in pictures],
            "version": dict(key),
        },
    )
