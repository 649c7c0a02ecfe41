"""What a paper's small tables consist of: networks to train and rows to measure, as data (``papers/NAME.yaml``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from saywhere.errors import SaywhereError

PAPERS = Path(__file__).parent / "papers"
FULL = "full"
"""The network of a definition that is the paper's own, and whose weights may ship."""
Measure = Literal["objects", "sequences", "global-sequences", "radius", "relevance", "cost"]
Direction = Literal["higher", "lower"]


class Part(BaseModel):
    """A part of a definition. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SeenLabels(Part):
    """Which labels of the training data are seen: drawn and named. The others are held out.

    Labels are numbered by name from 0. Those whose number is divisible by ``never`` are seen in no network, so that
    networks with lists of several sizes can be compared on them; of the rest, every ``every``-th is seen.
    """

    never: int = Field(ge=2)
    every: int = Field(1, ge=1)

    def chosen(self, labels: list[str]) -> list[str]:
        """The seen labels among all of them.

        Example:
            >>> SeenLabels(never=4, every=2).chosen(list("abcdefgh"))
            ['b', 'd', 'g']
        """
        rest = [label for number, label in enumerate(sorted(labels)) if number % self.never]
        return rest[:: self.every]


class Network(Part):
    """A network to train: a recipe and what it changes."""

    changes: tuple[str, ...] = Field((), description="as saywhere train --set takes them")
    last_stage: str | None = Field(None, description="the stage of the recipe that the training ends with")
    seen: SeenLabels | None = Field(None, description="None: all labels are seen")
    step_seconds: float = Field(1.0, gt=0, description="estimated time of a step on two cores, to share out time")


class Cell(Part):
    """What a row or a column decides of an evaluation; a row goes before a column, and both before the table."""

    measure: Measure | None = None
    data: str | None = Field(None, description="a known data set")
    limit: int | None = Field(None, description="only this many objects, evenly spread")
    task: dict[str, Any] = Field({}, description="fields of Task or SequenceTask")
    settings: dict[str, Any] = Field({}, description="fields of Settings")
    options: dict[str, Any] = Field({}, description="fields of SequenceOptions, other than those of PUBLISHED")
    group: str | None = Field(None, description="a group of objects, see saywhere.evaluation.reproduce.groups")


class Column(Cell):
    """A figure on a data set."""

    name: str
    figure: str
    scale: float = Field(1.0, description="the figure is multiplied by it, as 100 for percent")
    digits: int = 2
    published_data: str = Field("", description="the data set of the published values, where it is another one")


class Row(Cell):
    """A network or a way to use one."""

    name: str
    network: str = FULL
    figures: dict[str, str] = Field({}, description="another figure than the column's, by the column's name")
    published: tuple[float | None, ...] = Field((), description="the paper's values, one a column")
    against: str | None = Field(None, description="the row that it is compared with")
    expected: Direction | None = Field(
        None, description="how it compares according to the paper, where that gives no values"
    )


class Contrast(Part):
    """A statement of the paper on two differences: (more[0] - more[1]) is higher than (less[0] - less[1])."""

    claim: str
    more: tuple[str, str] = Field(description="names of two rows")
    less: tuple[str, str]
    columns: tuple[str, str] = Field(description="the column of the first difference, and of the second")


class Table(Cell):
    """One of the paper's tables, or one figure."""

    title: str
    place: str = Field(description="where the paper has it, and on which data")
    note: str = ""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    contrasts: tuple[Contrast, ...] = ()
    interaction_seconds: float = Field(0.1, gt=0, description="estimated time of one interaction, to share out time")

    @model_validator(mode="after")
    def names_fit(self) -> Table:
        """Check that rows and columns that are named exist, and that published values are one a column."""
        rows, columns = [row.name for row in self.rows], [column.name for column in self.columns]
        for row in self.rows:
            if len(row.published) not in (0, len(columns)):
                raise ValueError(f"row '{row.name}': {len(row.published)} published values, {len(columns)} columns")
            if row.against is not None and row.against not in rows:
                raise ValueError(f"row '{row.name}': against '{row.against}', which is no row")
            if unknown := set(row.figures) - set(columns):
                raise ValueError(f"row '{row.name}': figures of unknown columns {sorted(unknown)}")
        for contrast in self.contrasts:
            if unknown := {*contrast.more, *contrast.less} - set(rows) | set(contrast.columns) - set(columns):
                raise ValueError(f"contrast '{contrast.claim}': unknown {sorted(unknown)}")
        if len(set(rows)) < len(rows) or len(set(columns)) < len(columns):
            raise ValueError("two rows or two columns have the same name")
        return self

    def networks(self) -> set[str]:
        """The networks that its rows need; measurements of cost build theirs untrained."""
        return {row.network for row in self.rows if (row.measure or self.measure) != "cost"}


class Definition(Part):
    """All tables of a paper.

    Attributes of interest: ``steps`` is the number of training steps of every network, over all stages of its recipe;
    so all of them have the same budget.
    """

    paper: str
    recipe: str
    steps: int = Field(ge=1)
    networks: dict[str, Network]
    tables: dict[str, Table]

    @model_validator(mode="after")
    def networks_exist(self) -> Definition:
        """Check that rows name networks of the definition."""
        for name, table in self.tables.items():
            if unknown := table.networks() - set(self.networks):
                raise ValueError(f"table {name}: unknown networks {sorted(unknown)}")
        return self


def paper_names() -> list[str]:
    """The papers that have a definition."""
    return sorted(path.stem for path in PAPERS.glob("*.yaml"))


def read_definition(name: str) -> Definition:
    """The definition of a paper.

    Args:
        name: a published network, as ``saywhere.models`` names it.

    Raises:
        SaywhereError: there is none of that name.
    """
    if name not in paper_names():
        raise SaywhereError(f"paper '{name}': not known; choose one of {', '.join(paper_names())}")
    return parse_definition(yaml.safe_load((PAPERS / f"{name}.yaml").read_text(encoding="utf-8")), name)


def parse_definition(content: Any, name: str) -> Definition:
    """Check the content of a definition.

    Raises:
        SaywhereError: a key is wrong.
    """
    try:
        return Definition.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise SaywhereError(f"paper '{name}': {faults}") from error


def chosen_tables(definition: Definition, names: list[str] | None) -> dict[str, Table]:
    """The tables of some names; all without names.

    Raises:
        SaywhereError: there is no such table.
    """
    if unknown := [name for name in names or [] if name not in definition.tables]:
        raise SaywhereError(f"--table '{unknown[0]}': choose from {', '.join(definition.tables)}")
    return {name: table for name, table in definition.tables.items() if not names or name in names}


def pairs(table: Table) -> Iterator[tuple[Row, Column]]:
    """The cells of a table, row by row."""
    return ((row, column) for row in table.rows for column in table.columns)
