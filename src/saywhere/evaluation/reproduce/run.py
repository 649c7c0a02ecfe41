"""A paper's small tables from nothing but the data; killed at any moment, it goes on where it stopped.

Finished trainings have their weights and finished evaluations their figures, so neither is repeated; a training resumes
from its last checkpoint, an evaluation from its journal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from rich.console import Console

from saywhere.core.atomic import write_atomically
from saywhere.data.datasets import DATASETS, locate_data
from saywhere.errors import SaywhereError
from saywhere.evaluation.reproduce.definition import Column, Definition, Row, Table, chosen_tables, pairs
from saywhere.evaluation.reproduce.evaluations import Evaluation, evaluation_of, object_count, run_evaluation
from saywhere.evaluation.reproduce.groups import object_names
from saywhere.evaluation.reproduce.networks import (
    Training,
    digest_of,
    fingerprint,
    make_training,
    missing_file,
    shipped_weights,
    steps_of,
    uses_shipped,
)
from saywhere.evaluation.reproduce.tables import TableResult, as_json, markdown, tabulate
from saywhere.parallel.resumable import Execution
from saywhere.storage.jsonl import JsonlLog
from saywhere.training.recipe_files import read_recipe

Advance = Callable[[str, int, int], None]
"""Called with what is being measured, the number of finished objects, and of all."""


@dataclass(frozen=True)
class Options:
    """How a paper's tables are made.

    Attributes:
        tables: names of the tables; None: all.
        steps: training steps of each network, instead of the definition's.
        limit: objects of each evaluation, instead of the definition's.
        time_limit: seconds for everything, shared over trainings and evaluations by their estimated times; evaluations
            get fewer objects where it is short.
        changes: further changes of every recipe, as ``saywhere train --set`` takes them.
        shipped: whether tables that compare no networks measure the weights that ship.
        threads: processor threads of evaluations.
        jobs: processes of evaluations.
        command: the command line, to be kept with the figures.
    """

    tables: Sequence[str] | None = None
    steps: int | None = None
    limit: int | None = None
    time_limit: float | None = None
    changes: tuple[str, ...] = ()
    shipped: bool = True
    threads: int = 2
    jobs: int = 1
    command: str = ""


@dataclass
class Plan:
    """What is to be done: networks to train, then evaluations, then tables.

    Attributes:
        tables: the tables that can be made, by name.
        cells: the evaluation of each cell, by table, row and column.
        trainings: by the network's name.
        skipped: a line for each table, or column of one, that cannot be made, and what to get.
        estimates: estimated seconds of each training by the network's name, and of each evaluation by its identity.
    """

    tables: dict[str, Table]
    cells: dict[tuple[str, str, str], Evaluation] = field(default_factory=dict)
    trainings: dict[str, Training] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    estimates: dict[str, float] = field(default_factory=dict)

    @property
    def evaluations(self) -> list[Evaluation]:
        """Each evaluation once, in the order of the tables."""
        return list({evaluation.identity: evaluation for evaluation in self.cells.values()}.values())


def reproduce(
    name: str,
    definition: Definition,
    out: Path,
    options: Options = Options(),
    console: Console | None = None,
    advance: Advance = lambda item, done, total: None,
) -> list[TableResult]:
    """Make the tables of a paper.

    Args:
        name: of the published network.
        definition: the paper's.
        out: the folder of the run: ``table.md``, ``table.json``, ``networks/``, ``evaluations/``.
        options: how.
        console: where lines with the time left go.
        advance: shows the progress of an evaluation.

    Returns:
        The tables.

    Raises:
        SaywhereError: ``out`` holds a run with other settings, no table can be made, or a measurement failed.
    """
    console = console or Console(quiet=True, markup=False)
    plan = make_plan(name, definition, out, options)
    for line in plan.skipped:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not plan.tables:
        raise SaywhereError(f"reproduce {name}: no table can be made; {plan.skipped[0]}")
    return _Run(name, definition, out, options, plan, console, advance).run()


def make_plan(name: str, definition: Definition, out: Path, options: Options) -> Plan:
    """What is to be done, and what cannot be done; nothing is written or trained.

    Raises:
        SaywhereError: a table is unknown, or a change of the recipe is wrong.
    """
    for network in definition.networks.values():
        read_recipe(definition.recipe, [*network.changes, *options.changes])
    plan = Plan(chosen_tables(definition, list(options.tables or []) or None))
    scale = _plan_once(name, definition, out, options, plan, 1.0, None)
    if options.time_limit is not None:
        factor = options.time_limit / max(scale, 1e-9)
        plan = Plan(chosen_tables(definition, list(options.tables or []) or None))
        _plan_once(name, definition, out, options, plan, min(factor, 1.0), factor)
    return plan


def _plan_once(
    name: str, definition: Definition, out: Path, options: Options, plan: Plan, scale: float, factor: float | None
) -> float:
    """Fill a plan.

    Args:
        name, definition, out, options: as for :func:`reproduce`.
        plan: is filled.
        scale: of the number of objects.
        factor: a training gets this many times its estimated seconds; None: its steps.

    Returns:
        The estimated seconds of everything.
    """
    missing: dict[str, str | None] = {}
    for title, table in list(plan.tables.items()):
        is_shipped = uses_shipped(table.networks(), name, options.shipped)
        for row, column in pairs(table):
            evaluation = evaluation_of(table, row, column, is_shipped, scale, options.limit)
            lack = _missing_data(evaluation.data)
            if lack is None and evaluation.measure != "cost" and not is_shipped:
                if row.network not in missing:
                    missing[row.network] = _add_training(definition, row.network, out, options, plan, factor)
                lack = missing[row.network]
            if lack is not None:
                line = f"table {title}: {lack}"
                if line not in plan.skipped:
                    plan.skipped.append(line)
                continue
            plan.cells[title, row.name, column.name] = evaluation
            if evaluation.identity not in plan.estimates:
                count = object_count(evaluation)
                plan.estimates[evaluation.identity] = max(
                    count * evaluation.interactions * table.interaction_seconds, 1.0
                )
        if not any(key[0] == title for key in plan.cells):
            del plan.tables[title]
    used = {e.network for e in plan.evaluations if not e.is_shipped and e.measure != "cost"}
    plan.trainings = {network: training for network, training in plan.trainings.items() if network in used}
    for network, training in plan.trainings.items():
        plan.estimates[network] = training.steps * definition.networks[network].step_seconds
        if training.time_limit is not None:
            plan.estimates[network] = training.time_limit
    return sum(plan.estimates.values())


def _add_training(
    definition: Definition, network: str, out: Path, options: Options, plan: Plan, factor: float | None
) -> str | None:
    """Add the training of a network to a plan; what it lacks, in a line, None where it lacks nothing."""
    steps = options.steps or definition.steps
    seconds = None if factor is None else factor * steps * definition.networks[network].step_seconds
    try:
        training = make_training(definition, network, out, options.steps, seconds, options.changes)
    except SaywhereError as error:
        return f"network {network}: {error}"
    plan.trainings[network] = training
    lack = None if training.done else missing_file(training)
    return None if lack is None else f"network {network}: {lack}"


def _missing_data(data: str) -> str | None:
    """What to get for a data set that is not here; None where it is."""
    if not data:
        return None
    try:
        locate_data(data)
    except SaywhereError as error:
        if data not in DATASETS:
            return str(error)
        known = DATASETS[data]
        return f"data '{data}' is not here; put it into SAYWHERE_DATA/{known.places[0]}; source: {known.url}"
    return None


class _Run:
    """Trains, evaluates and tabulates what a plan holds."""

    def __init__(
        self, name: str, definition: Definition, out: Path, options: Options, plan: Plan, console: Console,
        advance: Advance,
    ) -> None:  # fmt: skip
        self.name, self.definition, self.out, self.options = name, definition, out, options
        self.plan, self.console, self.advance = plan, console, advance
        self.seconds: dict[str, float] = {}
        """How long finished items took, this time or before."""
        self.log = JsonlLog(out / "progress.jsonl", self._conditions())
        for entry in self.log.entries:
            self.seconds[str(entry["item"])] = float(entry["seconds"])

    def _conditions(self) -> dict[str, Any]:
        """What must be the same when a run goes on; evaluations have names of their own for theirs."""
        options, definition = self.options, self.definition
        networks = json.dumps({name: n.model_dump(mode="json") for name, n in definition.networks.items()})
        return {
            "paper": self.name, "steps": options.steps, "limit": options.limit, "time_limit": options.time_limit,
            "changes": list(options.changes), "networks": networks, "default_steps": definition.steps,
            "recipe": fingerprint(read_recipe(definition.recipe)),
        }  # fmt: skip

    def run(self) -> list[TableResult]:
        try:
            for network in self.plan.trainings:
                self._train(network)
            results = []
            for title, table in self.plan.tables.items():
                for (of, _, _), evaluation in self.plan.cells.items():
                    if of == title:
                        self._evaluate(evaluation)
                results.append(self._tabulate(title, table))
                self._write(results)
            return results
        finally:
            self.log.close()

    def _train(self, network: str) -> None:
        training = self.plan.trainings[network]
        if not training.done:
            self._item(f"train {network}", f"training {network}", partial(training.run, self.console))

    def _evaluate(self, evaluation: Evaluation) -> None:
        out = self._figures_path(evaluation)
        if not out.is_file():
            execution, options = Execution(jobs=self.options.jobs), self.options
            work = partial(
                run_evaluation, evaluation, self._weights(evaluation), out, execution, options.threads,
                partial(self.advance, out.stem), options.command,
            )  # fmt: skip
            self._item(out.stem, f"measuring {out.stem}", work)

    def _item(self, name: str, title: str, work: Callable[[], Any]) -> None:
        """Do one item, and keep how long it took."""
        self.console.print(f"{title}; {self._time_left()}", highlight=False)
        started = time.monotonic()
        work()
        self.seconds[name] = time.monotonic() - started
        self.log.append({"item": name, "seconds": round(self.seconds[name], 1)})

    def _time_left(self) -> str:
        """The estimated time of what is not done, corrected by how long finished items took."""
        spent = estimated = left = 0.0
        for name, done, estimate in self._items():
            if name in self.seconds:
                spent, estimated = spent + self.seconds[name], estimated + estimate
            elif not done:
                left += estimate
        left *= spent / estimated if spent and estimated else 1.0
        return f"about {duration(left)} left"

    def _items(self) -> Iterator[tuple[str, bool, float]]:
        """Name, whether it is done, and estimated seconds of each training and evaluation."""
        for network, training in self.plan.trainings.items():
            yield f"train {network}", training.done, self.plan.estimates[network]
        for evaluation in self.plan.evaluations:
            estimate = self.plan.estimates[evaluation.identity]
            if self._has_weights(evaluation):
                path = self._figures_path(evaluation)
                yield path.stem, path.is_file(), estimate
            else:
                yield "", False, estimate

    def _has_weights(self, evaluation: Evaluation) -> bool:
        needs_none = evaluation.measure == "cost" or evaluation.is_shipped
        return needs_none or self.plan.trainings[evaluation.network].done

    def _weights(self, evaluation: Evaluation) -> Path | None:
        if evaluation.measure == "cost":
            return None
        return shipped_weights(self.name) if evaluation.is_shipped else self.plan.trainings[evaluation.network].weights

    def _figures_path(self, evaluation: Evaluation) -> Path:
        weights = self._weights(evaluation)
        digest = "" if weights is None else cached_digest(weights)
        return self.out / "evaluations" / f"{evaluation.name(digest)}.json"

    def _tabulate(self, title: str, table: Table) -> TableResult:
        def find(row: Row, column: Column) -> Mapping[str, Any] | None:
            evaluation = self.plan.cells.get((title, row.name, column.name))
            return None if evaluation is None else read_figures(self._figures_path(evaluation))

        def group(row: Row, column: Column, wanted: str) -> set[str] | None:
            evaluation = self.plan.cells[title, row.name, column.name]
            training = self.plan.trainings.get(row.network)
            return object_names(wanted, evaluation.data, None if training is None else training.seen)

        return tabulate(title, table, find, group, tuple(self._notes(title, table)))

    def _notes(self, title: str, table: Table) -> list[str]:
        """Which weights, with how many steps; where steps differ, that they do."""
        notes, steps = [], {}
        for network in sorted(table.networks()):
            cells = [e for (of, _, _), e in self.plan.cells.items() if of == title and e.network == network]
            weights = self._weights(cells[0]) if cells and cells[0].measure != "cost" else None
            if weights is not None:
                steps[network] = steps_of(weights)
                origin = "the weights that ship" if cells[0].is_shipped else "trained here"
                notes.append(
                    f"Network {network}: {origin}, {steps[network]} steps, sha256 {cached_digest(weights)[:16]}"
                )
        if self.options.time_limit is not None and len(set(steps.values())) > 1:
            notes.append("The networks had the same time, but not the same number of steps.")
        notes += [line for line in self.plan.skipped if line.startswith(f"table {title}: ")]
        return notes

    def _write(self, results: list[TableResult]) -> None:
        text = markdown(self.definition.paper, results, self.plan.skipped)
        content = {"paper": self.definition.paper, "command": self.options.command, "skipped": self.plan.skipped,
                   "tables": {result.name: as_json(result) for result in results}}  # fmt: skip
        write_atomically(self.out / "table.json", json.dumps(content, indent=1).encode())
        write_atomically(self.out / "table.md", text.encode())


@lru_cache(maxsize=64)
def _digest(weights: Path, modified: int) -> str:
    return digest_of(weights)


def cached_digest(weights: Path) -> str:
    """The digest of a weights file, read again when the file has changed."""
    return _digest(weights, weights.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def read_figures(path: Path) -> Mapping[str, Any]:
    """The figures that an evaluation wrote."""
    content: Mapping[str, Any] = json.loads(path.read_bytes())
    return content


def duration(seconds: float) -> str:
    """A time in words.

    Example:
        >>> duration(4980), duration(95)
        ('1 h 23 min', '2 min')
    """
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
