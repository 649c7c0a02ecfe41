"""Pre-labelling of many images: a table of addresses and prompts in, shards of Parquet out, one row for each mask.

Images and tables are read, and shards written, through fsspec: local paths, https://, s3:// and so on. A finished shard
is never lost: the same command given again reads the keys of the shards that are there and goes on with the rest. An
image that cannot be read, and a prompt that cannot be used, become rows too, with an ``error``.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from saywhere.core.geometry import ImageSize
from saywhere.core.images import decode_image
from saywhere.core.prompt import Prompt
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError, needing
from saywhere.interactive.segmenter import Segmenter
from saywhere.parallel.local import in_processes
from saywhere.parallel.resumable import LoadedMethod, Progress, no_progress, prepare_here, prepare_remote
from saywhere.prelabel.remote import Folder, list_addresses, read_bytes
from saywhere.prelabel.request import ObjectPrompt, read_box, read_points
from saywhere.prelabel.run import every_object, one_object, refuse_phrases
from saywhere.runtime.base import Runtime

COLUMNS = ("image", "id", "box", "points", "phrase", "category")
SHARD_ROWS = 1000
SHARD_SECONDS = 300.0  # after which a shard is written, however few rows it has
CONDITIONS = b"saywhere"  # in the metadata of each shard: everything that could change a mask


@dataclass(frozen=True)
class TableRow:
    """What is asked for.

    Attributes:
        id: unique in the table.
        image: its address, or the content of the file.
        prompt: of its object as the table has it: ``box``, ``points``, ``phrase``.
        category: what the object is called; "" without a name.
    """

    id: str
    image: str | bytes = field(repr=False)
    prompt: Mapping[str, Any]
    category: str = ""

    @property
    def key(self) -> str:
        """Changes with the row's id and its prompt."""
        content = json.dumps([self.id, self.prompt], sort_keys=True, default=list)
        return hashlib.sha256(content.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class TableResult:
    """What a run did.

    Attributes:
        rows: rows of the table.
        skipped: how many of them were done before.
        masks: masks that were written.
        errors: rows that could not be done.
    """

    rows: int
    skipped: int
    masks: int
    errors: int


def prelabel_table(
    source: str,
    out: str,
    phrase: str | None = None,
    method: str | None = None,
    settings: Settings | None = None,
    jobs: int = 1,
    threads: int = 2,
    shard_rows: int = SHARD_ROWS,
    retry: bool = False,
    progress: Progress = no_progress,
) -> TableResult:
    """Segment what a table asks for.

    Args:
        source: a Parquet file (column ``image``: addresses, or contents of files; optional ``id``, ``box`` as x, y,
            width, height, ``points`` as lists of x, y, label, ``phrase`` and ``category``), a text file with an address
            in each line, or an address of a folder or with ``*``.
        out: the folder of the shards.
        phrase: for rows without one; a row with a phrase alone asks for every object that it names.
        method: weights or ``module:factory``; None: the weights that ship.
        settings: of the Segmenter.
        jobs: processes.
        threads: processor threads of each.
        shard_rows: masks in a shard.
        retry: whether rows with an error are done again.
        progress: called with the number of rows that are done, and of all.

    Returns:
        What was done.

    Raises:
        SaywhereError: pyarrow or fsspec is missing, the source cannot be read or has no prompt, or the folder holds
            shards of other weights or settings.
    """
    loaded = LoadedMethod.load(method, settings or Settings(), threads)
    if phrase is not None:
        refuse_phrases(loaded.runtime, [phrase])
    shards = Shards(Folder(out), loaded.metadata, shard_rows, retry)
    total, skipped = count_rows(source), 0

    def remaining() -> Iterator[TableRow]:
        nonlocal skipped
        for row in read_rows(source, phrase):
            if row.key in shards.done:
                skipped += 1
            else:
                yield row

    if jobs == 1:
        segment = prepare_here(threads, make_work, loaded.runtime, loaded.settings)
        results: Iterator[dict[str, Any]] = (result for row in remaining() for result in segment(row))
    else:
        prepare = partial(prepare_remote, loaded.name, loaded.requested, threads, loaded.metadata, make_work)
        results = in_processes(prepare, remaining(), jobs)
    finished = 0
    try:
        for result in results:
            shards.add(result)
            finished += bool(result["last"])
            progress(skipped + finished, total)
    finally:
        shards.flush()
    return TableResult(total, skipped, shards.masks, shards.errors)


def make_work(runtime: Runtime, settings: Settings) -> Callable[[TableRow], Iterator[dict[str, Any]]]:
    """The function that segments one row."""
    return partial(segment_row, runtime, settings)


def segment_row(runtime: Runtime, settings: Settings, row: TableRow) -> Iterator[dict[str, Any]]:
    """The rows of the output for one row of the table: each a mask; one without where there is none; or an error.

    Only the last of them says that the row is done.
    """
    known: dict[str, Any] = {"id": row.id, "row_key": row.key, "image": row.image if isinstance(row.image, str) else ""}
    known |= {"category": row.category, "last": True}
    try:
        content = row.image if isinstance(row.image, bytes) else read_bytes(row.image)
        known["image_sha256"] = hashlib.sha256(content).hexdigest()
        segmenter = Segmenter(runtime, settings).set_image(decode_image(content, f"photograph '{row.id}'"))
        size = segmenter.encoded.size
        known |= {"height": size.height, "width": size.width}
        prompt = object_prompt(row, size)
        masks = every_object(segmenter, prompt) if prompt.every else (one_object(segmenter, prompt),)
    except SaywhereError as error:
        yield {**known, "error": str(error)}
        return
    if not masks:
        yield known
    for number, mask in enumerate(masks):
        digest = hashlib.sha256(f"{known['image_sha256']} {row.key} {number}".encode()).hexdigest()
        counts = {"counts": mask["segmentation"]["counts"], "bbox": mask["bbox"], "area": mask["area"]}
        last = number + 1 == len(masks)
        yield {**known, **counts, "score": mask["score"], "key": digest[:32], "last": last}


def object_prompt(row: TableRow, size: ImageSize) -> ObjectPrompt:
    """The checked prompt of a row.

    Raises:
        SaywhereError: it has none, or one that does not fit the image.
    """
    box, points, phrase = (row.prompt.get(name) for name in ("box", "points", "phrase"))
    clicks = read_points([list(point) for point in points], size) if points else ()
    edges = read_box(list(box), size) if box else None
    if not clicks and edges is None and not phrase:
        raise SaywhereError(f"row '{row.id}': has no prompt; give a box, points or a phrase")
    return ObjectPrompt(row.id, Prompt(clicks, phrase or None), {}, edges, every=not clicks and edges is None)


def count_rows(source: str) -> int:
    """How many rows a table has."""
    if not is_parquet(source):
        return sum(1 for _ in list_addresses(source))
    with _opened(source) as file:
        return int(file.metadata.num_rows)


def read_rows(source: str, phrase: str | None) -> Iterator[TableRow]:
    """The rows of a table, a few at a time in memory.

    Raises:
        SaywhereError: the table cannot be read, or lacks the column ``image``.
    """
    if not is_parquet(source):
        if phrase is None:
            raise SaywhereError(f"source '{source}': addresses alone have no prompt; give a phrase, or a Parquet file")
        for address in list_addresses(source):
            yield TableRow(address, address, {"phrase": phrase}, phrase)
        return
    with _opened(source) as file:
        columns = [name for name in COLUMNS if name in file.schema_arrow.names]
        if "image" not in columns:
            names = ", ".join(file.schema_arrow.names)
            raise SaywhereError(f"source '{source}': has the columns {names}; a column 'image' is needed")
        number = 0
        for batch in file.iter_batches(batch_size=64, columns=columns):
            for given in batch.to_pylist():
                number += 1
                yield _table_row(given, number, phrase)


def _table_row(given: Mapping[str, Any], number: int, phrase: str | None) -> TableRow:
    image = given["image"]
    if isinstance(image, Mapping):  # as Hugging Face datasets have images
        image = image.get("bytes") or image.get("path")
    name = given.get("id")
    if name is None:
        name = image if isinstance(image, str) else f"row {number}"
    prompt = {key: given[key] for key in ("box", "points", "phrase") if given.get(key) is not None}
    if phrase is not None:
        prompt.setdefault("phrase", phrase)
    if not isinstance(image, (str, bytes)):
        image = ""  # reading it gives the row its error
    return TableRow(str(name), image, prompt, str(given.get("category") or prompt.get("phrase") or ""))


def is_parquet(source: str) -> bool:
    """Whether a source is named as a Parquet file."""
    return source.lower().endswith((".parquet", ".pq"))


def _opened(source: str) -> Any:
    with needing("tables", f"source '{source}'"):
        import pyarrow
        import pyarrow.parquet

    from saywhere.prelabel.remote import open_file

    try:
        return pyarrow.parquet.ParquetFile(open_file(source))
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise SaywhereError(f"source '{source}': cannot be read as Parquet ({reason})") from error


class Shards:
    """The output: Parquet files that are written whole, one after another.

    Args:
        folder: where they are.
        conditions: everything that could change a mask.
        rows: of a shard.
        retry: whether rows with an error count as not done; they are taken out of their shards.

    Attributes:
        done: the keys of rows that are done.
        masks: masks that were written by this run.
        errors: errors that were written by this run.

    Raises:
        SaywhereError: there are shards of other conditions, or one cannot be read.
    """

    def __init__(self, folder: Folder, conditions: Mapping[str, Any], rows: int, retry: bool) -> None:
        with needing("tables", f"folder '{folder.address}'"):
            import pyarrow
            import pyarrow.parquet

        self.folder, self.rows = folder, rows
        self.conditions = json.dumps(dict(conditions), sort_keys=True).encode()
        self.done: set[str] = set()
        self.masks = self.errors = 0
        self._pending: list[dict[str, Any]] = []
        self._written = time.monotonic()
        text, whole = pyarrow.string(), pyarrow.int64()
        self.schema = pyarrow.schema(
            [
                ("key", text), ("id", text), ("row_key", text), ("image", text), ("image_sha256", text),
                ("category", text), ("height", whole), ("width", whole), ("counts", text),
                ("bbox", pyarrow.list_(pyarrow.float64())), ("area", whole), ("score", pyarrow.float64()),
                ("error", text), ("last", pyarrow.bool_()),
            ],
            metadata={CONDITIONS: self.conditions},
        )  # fmt: skip
        names = [name for name in folder.names() if name.startswith("part-") and name.endswith(".parquet")]
        self._next = 1 + max((int(digits) for name in names if (digits := name[5:-8]).isdigit()), default=-1)
        for name in sorted(names):
            self._take(name, retry)

    def _take(self, name: str, retry: bool) -> None:
        """Note what a shard has; rows that are not complete in it are done again."""
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(pyarrow.BufferReader(self.folder.read(name)))
        except (ValueError, pyarrow.ArrowException) as error:
            reason = " ".join(str(error).split())[:200]
            raise SaywhereError(f"shard '{name}' in '{self.folder.address}': damaged ({reason}); delete it") from error
        if (table.schema.metadata or {}).get(CONDITIONS) != self.conditions:
            raise SaywhereError(
                f"folder '{self.folder.address}': '{name}' was made with other weights or settings; give another folder"
            )
        failed = [error is not None for error in table["error"].to_pylist()]
        if retry and any(failed):
            table = table.filter(pyarrow.array([not each for each in failed]))
            self._write(name, table)
        keys, last = table["row_key"].to_pylist(), table["last"].to_pylist()
        self.done.update(key for key, is_last in zip(keys, last, strict=True) if is_last)

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row; a shard is written when it is full and the last row is complete."""
        self._pending.append(row)
        self.masks += "counts" in row
        self.errors += "error" in row
        is_full = len(self._pending) >= self.rows or time.monotonic() - self._written > SHARD_SECONDS
        if is_full and row["last"]:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are complete as a shard."""
        import pyarrow

        complete = {row["row_key"] for row in self._pending if row["last"]}
        rows = [row for row in self._pending if row["row_key"] in complete]
        self._pending = [row for row in self._pending if row["row_key"] not in complete]
        self._written = time.monotonic()
        if not rows:
            return
        self._write(f"part-{self._next:06}.parquet", pyarrow.Table.from_pylist(rows, schema=self.schema))
        self._next += 1
        self.done.update(complete)

    def _write(self, name: str, table: Any) -> None:
        import pyarrow
        import pyarrow.parquet

        buffer = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(table.replace_schema_metadata(self.schema.metadata), buffer, compression="zstd")
        self.folder.write(name, buffer.getvalue().to_pybytes())
