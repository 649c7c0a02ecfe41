"""One evaluation of one network: what is measured, where its figures are kept, and how it is measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from saywhere.core.atomic import write_atomically
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.evaluation.benchmark import Task, load_samples, measure, spread
from saywhere.evaluation.phrases import PhraseMode, with_phrases
from saywhere.evaluation.reproduce.definition import Column, Definition, Measure, Row, Table
from saywhere.evaluation.sequences import SequenceTask, bench_sequences
from saywhere.interactive.sequence import PUBLISHED
from saywhere.parallel.resumable import Execution, LoadedMethod, Progress, no_progress

SEQUENCE_MEASURES = ("sequences", "global-sequences")


@dataclass(frozen=True)
class Evaluation:
    """What is measured; equal evaluations are made once.

    Attributes:
        network: the network's name in the definition.
        is_shipped: whether the weights that ship are measured instead of those that are trained here.
        measure: the kind of measurement.
        data: a known data set.
        limit: only this many objects; None: all.
        task: fields of Task or of SequenceTask, or the arguments of a measurement of cost.
        settings: fields of Settings.
        options: fields of SequenceOptions, other than those of PUBLISHED.
    """

    network: str
    is_shipped: bool
    measure: Measure
    data: str
    limit: int | None
    task: Mapping[str, Any]
    settings: Mapping[str, Any]
    options: Mapping[str, Any]

    def name(self, digest: str) -> str:
        """The name of its files: the same evaluation of the same weights has the same one."""
        short = hashlib.sha256(f"{digest} {self.identity}".encode()).hexdigest()[:10]
        return "-".join((self.network, self.measure, self.data.replace(":", "-").replace("/", "-"), short))

    @property
    def identity(self) -> str:
        """Equal for equal evaluations, whatever the weights."""
        return json.dumps(self.__dict__, sort_keys=True)

    @property
    def interactions(self) -> int:
        """How many interactions an object takes at most, over all seeds; 0 for a measurement of cost."""
        if self.measure == "cost":
            return 0
        return int(self.task.get("max_interactions", 20)) * int(self.task.get("seeds", 1))


def evaluation_of(
    table: Table, row: Row, column: Column, is_shipped: bool, scale: float, limit: int | None
) -> Evaluation:
    """The evaluation of a cell.

    Args:
        table: the table.
        row, column: of the cell; the row's settings go before the column's, and both before the table's.
        is_shipped: whether the weights that ship are measured.
        scale: of the number of objects, at most 1.
        limit: the number of objects instead of the definition's; None: the definition's.
    """
    kind: Measure = row.measure or column.measure or table.measure or "objects"
    objects = row.limit or column.limit or table.limit
    if limit is not None:
        objects = limit
    elif objects is not None and scale < 1.0:
        objects = max(round(objects * scale), 20)
    return Evaluation(
        network=row.network,
        is_shipped=is_shipped,
        measure=kind,
        data="" if kind == "cost" else (row.data or column.data or table.data or ""),
        limit=objects,
        task={**table.task, **column.task, **row.task},
        settings={**table.settings, **column.settings, **row.settings},
        options={**table.options, **column.options, **row.options},
    )


def object_task(evaluation: Evaluation, method: str | None, threads: int) -> Task:
    """The benchmark's task of an evaluation.

    Raises:
        SaywhereError: the definition names a field that there is not.
    """
    fields = dict(evaluation.task)
    if fields.get("phrase") is not None:
        fields["phrase"] = PhraseMode(fields["phrase"])
    settings = _with(Settings(), evaluation.settings)
    return _with(Task(method, evaluation.data, settings, limit=evaluation.limit, threads=threads), fields)


def sequence_task(evaluation: Evaluation, method: str | None, threads: int) -> SequenceTask:
    """The same for sequences, with the paper's options where the definition says nothing else."""
    settings = _with(Settings(), evaluation.settings)
    options = _with(PUBLISHED, {"interval": 2, **{k: _tuples(v) for k, v in evaluation.options.items()}})
    task = SequenceTask(method, evaluation.data, settings, options, limit=evaluation.limit, threads=threads)
    return _with(task, {key: _tuples(value) for key, value in evaluation.task.items()})


def _with(value: Any, fields: Mapping[str, Any]) -> Any:
    try:
        return replace(value, **fields)
    except TypeError as error:
        raise SaywhereError(f"definition: {type(value).__name__} has other fields ({error})") from error


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def run_evaluation(
    evaluation: Evaluation,
    weights: Path | None,
    out: Path,
    execution: Execution = Execution(),  # noqa: B008  (it is frozen)
    threads: int = 2,
    progress: Progress = no_progress,
    command: str = "",
) -> None:
    """Measure, and write the figures to ``out``; a measurement that was killed goes on from the journal beside it.

    Args:
        evaluation: what is measured.
        weights: the network's; None for a measurement of cost.
        out: a JSON file.
        execution: where it runs; measurements other than "objects" and "sequences" run in this process.
        threads: processor threads.
        progress: called with the number of finished objects, and of all.
        command: the command line, to be kept with the figures.

    Raises:
        SaywhereError: as for :func:`saywhere.evaluation.benchmark.measure`.
    """
    method = None if weights is None else str(weights)
    if evaluation.measure == "cost":
        from saywhere.evaluation.reproduce.cost import measure_cost

        write_atomically(out, json.dumps(measure_cost(**evaluation.task), indent=1).encode())
    elif evaluation.measure in SEQUENCE_MEASURES:
        task = sequence_task(evaluation, method, threads)
        loaded = _global_method(task) if evaluation.measure == "global-sequences" else None
        where = execution if loaded is None else Execution()
        bench_sequences(task, out, where, progress, command, loaded)
    elif evaluation.measure == "objects":
        measure(object_task(evaluation, method, threads), out, execution, progress, command)
    else:
        _measure_more(evaluation, object_task(evaluation, method, threads), out, execution, progress, command)


def _global_method(task: SequenceTask) -> LoadedMethod:
    """The method of a task, in which everything after the backbone learns."""
    from saywhere.evaluation.reproduce.global_learning import with_global_learning
    from saywhere.runtime.metadata import run_metadata

    loaded = LoadedMethod.load(task.method, task.settings, task.threads)
    runtime: Any = with_global_learning(loaded.runtime)  # type: ignore[arg-type]
    return replace(loaded, runtime=runtime, metadata=run_metadata(runtime, loaded.settings, task.threads))


def _measure_more(
    evaluation: Evaluation, task: Task, out: Path, execution: Execution, progress: Progress, command: str
) -> None:
    """Interactions as for "objects", then what is computed from them with the network."""
    from saywhere.evaluation.reproduce.radius import radius_errors
    from saywhere.evaluation.reproduce.relevance import failures

    interactions = measure(task, out.with_stem(f"{out.stem}-interactions"), execution, progress, command)
    method = LoadedMethod.load(task.method, task.settings, task.threads)
    samples, records = list(interactions.samples), interactions.records
    compute: Callable[[], dict[str, dict[str, float]]]
    if evaluation.measure == "radius":
        compute = partial(radius_errors, method.runtime, method.settings.size, samples, records)
    else:
        compute = partial(failures, method.runtime, method.settings, samples, records)
    figures = {**interactions.figures, "per_object": compute()}
    write_atomically(out, json.dumps(figures, indent=1).encode())


def object_count(evaluation: Evaluation) -> int:
    """How many objects an evaluation measures; 0 for a measurement of cost.

    Raises:
        SaywhereError: the data set is not here.
    """
    if evaluation.measure == "cost":
        return 0
    chosen = evaluation.task.get("labels")
    count = sum(not chosen or label in chosen for label in _labels(evaluation.data))
    return len(spread(count, evaluation.limit))


@lru_cache(maxsize=16)
def _labels(data: str) -> tuple[str | None, ...]:
    """The label of each object of a data set."""
    return tuple(sample.label for sample in load_samples(data, None))


def check_definition(definition: Definition) -> None:
    """Check that every cell of a definition names fields that there are.

    Raises:
        SaywhereError: one does not.
    """
    for table in definition.tables.values():
        for row in table.rows:
            for column in table.columns:
                evaluation = evaluation_of(table, row, column, False, 1.0, None)
                if evaluation.measure in SEQUENCE_MEASURES:
                    sequence_task(evaluation, None, 1)
                elif evaluation.measure != "cost":
                    object_task(evaluation, None, 1)
                    with_phrases([], PhraseMode(evaluation.task.get("phrase") or PhraseMode.OWN))
