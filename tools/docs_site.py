"""The generated pages of the documentation site, and links that leave its folder: a hook of mkdocs (mkdocs.yml).

    python tools/docs_site.py    # print the names of the generated pages

The pages are made when the site is built and are in no commit: the command line, the Python and HTTP references,
recipe keys, the papers' tables, the sets that the weights were trained on, and layouts of models. This needs the base
install, not torch.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "saywhere"
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)")
PYTHON = {
    "The library": ["saywhere.load", "saywhere.Segmenter", "saywhere.Mask", "saywhere.Sequence", "saywhere.Proposal"],
    "Values": ["saywhere.Click", "saywhere.Prompt", "saywhere.Settings", "saywhere.SaywhereError"],
    "Sequences": ["saywhere.interactive.sequence.SequenceOptions"],
    "Runtimes": ["saywhere.runtime.base"],
    "Formats and data sets": ["saywhere.data.formats", "saywhere.data.datasets"],
    "Programs made for Segment Anything": ["saywhere.segment_anything"],
}


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown; bars and line breaks in cells are escaped."""
    head = list(header)
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def index() -> str:
    """The README, whose links start at the repository's root."""
    text = re.sub(r"<!--.*?-->\n?", "", (ROOT / "README.md").read_text())
    return LINK.sub(
        lambda found: f"]({found[1].removeprefix('docs/') if found[1][:5] == 'docs/' else '../' + found[1]})", text
    )


def command_line() -> str:
    """Every verb with its arguments and options."""
    import typer

    from saywhere.cli.app import app

    parts = ["# Command line\n", "`saywhere VERB --help` prints the same.\n"]
    for name, command in _commands(typer.main.get_command(app), "saywhere"):
        rows = []
        for parameter in command.params:
            if parameter.name == "help":
                continue
            names = ", ".join(f"`{each}`" for each in (*parameter.opts, *parameter.secondary_opts))
            if parameter.param_type_name == "argument":
                names = f"`{parameter.metavar or parameter.name.upper()}`"
            rows.append([names, getattr(parameter, "help", "") or "", _default(parameter)])
        parts.append(f"## {name}\n")
        parts.append((command.help or "").strip() + "\n")
        if rows:
            parts.append(table(["option", "", "default"], rows))
    return "\n".join(parts)


def _default(parameter: Any) -> str:
    value = parameter.default
    if value is None or callable(value) or value in ((), [], False) or parameter.required:
        return ""
    return f"`{value}`"


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for verb, inner in command.commands.items():
        yield from _commands(inner, f"{name} {verb}")


def http() -> str:
    """Every route of the annotator, from its OpenAPI description."""
    from unittest.mock import MagicMock

    from saywhere.annotate.web.app import make_app

    # Routes keep the project, and use it only when they are called.
    contract = make_app(MagicMock(network=None)).openapi()
    rows = [
        [method.upper(), f"`{path}`", operation.get("description", operation["summary"]).split("\n\n")[0]]
        for path, methods in contract["paths"].items()
        for method, operation in methods.items()
    ]
    introduction = (
        "# HTTP API of the annotator\n\nA request that changes something carries `X-Saywhere-Client` (8 to 64 letters, "
        "digits or hyphens) and, if you like, a percent-encoded `X-Saywhere-Person`. Errors are "
        '`{"error": "what was given and what to do"}`. Parameters and bodies: `/api/openapi.json` of a running '
        "annotator.\n"
    )
    return f"{introduction}\n{table(['method', 'route', ''], rows)}"


def python() -> str:
    """What mkdocstrings fills with the docstrings of the public names."""
    parts = ["# Python\n", "Everything here is public; see [what that means](../python.md#what-is-public).\n"]
    for title, names in PYTHON.items():
        parts.append(f"## {title}\n")
        parts += [f"::: {name}\n" for name in names]
    return "\n".join(parts)


def recipes() -> str:
    """Every key of a recipe with its default, read from the source, so that torch is not needed."""
    classes = [
        node
        for path in (SOURCE / "training" / f"{name}.py" for name in ("recipe", "recipe_parts", "stages"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    # Sections are classes; the class of the whole recipe names them.
    names = {
        name.id: ast.unparse(field.target)
        for node in classes
        for field in node.body
        if isinstance(field, ast.AnnAssign)
        for name in ast.walk(field.annotation)
        if isinstance(name, ast.Name) and name.id in {each.name for each in classes}
    }
    parts = ["# Recipe keys\n", "Set one with `saywhere train NAME --set SECTION.KEY=VALUE`.\n"]
    for node in classes:
        if rows := list(_fields(node)):
            title = "The recipe itself" if node.name == "Recipe" else f"Section `{names[node.name]}`"
            parts += [f"## {title}\n", (ast.get_docstring(node) or "").split("\n\n")[0] + "\n"]
            parts.append(table(["key", "type", "default", ""], rows))
    return "\n".join(parts)


def _fields(node: ast.ClassDef) -> Iterator[list[str]]:
    for each in node.body:
        call = each.value if isinstance(each, ast.AnnAssign) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Field":
            words = {word.arg: word.value for word in call.keywords}
            default = "required"
            if call.args:
                default = ast.unparse(call.args[0])
            elif "default_factory" in words:
                default = ast.unparse(words["default_factory"]) + "()"
            text = ast.literal_eval(words["description"]) if "description" in words else ""
            yield [f"`{ast.unparse(each.target)}`", f"`{ast.unparse(each.annotation)}`", f"`{default}`", text]


def papers() -> str:
    """The tables that ``saywhere reproduce`` makes."""
    parts = ["# Tables of the papers\n", "`saywhere reproduce NAME --small --table TABLE` makes one.\n"]
    for path in sorted((SOURCE / "evaluation" / "reproduce" / "papers").glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())
        rows = [[f"`{name}`", each["title"], each["place"]] for name, each in definition["tables"].items()]
        parts += [f"## {path.stem}\n", f"{definition['paper']}\n", table(["table", "", "as published"], rows)]
    return "\n".join(parts)


def training_data() -> str:
    """The public sets of photos-7k."""
    sets = json.loads((ROOT / "research" / "training-sets.json").read_text())
    return f"# Training data\n\nThe sets of photos-7k; see the [model card](../model-card.md).\n\n{table(**sets)}"


def layouts() -> str:
    """Which models of other projects are read, and which layouts are written, each with its tests."""
    tables = json.loads((ROOT / "research" / "layouts.json").read_text(encoding="utf-8"))
    introduction = (
        "# Layouts of models\n\nWhat `saywhere.load` [reads](../external-models.md), with the cases of "
        "`tests/runtime/external`, and what `saywhere export` [writes](../export.md). `tests/runtime/test_layouts.py` "
        "compares these tables with the tests and the command.\n"
    )
    return f"{introduction}\n## Read\n\n{table(**tables['read'])}\n## Written\n\n{table(**tables['written'])}"


def datasets() -> str:
    """Where known data sets lie, where they come from, and under which terms."""
    known = json.loads((ROOT / "research" / "datasets.json").read_text(encoding="utf-8"))
    introduction = (
        "# Table of datasets\n\nCounts are as published; where none is given we were not certain. Objects are what "
        "`saywhere bench` segments: crowd regions of COCO JSON are left out. Licences are summarised: read the page. "
        "Of two names of a folder the first that exists is used. See [Datasets](../datasets.md).\n"
    )
    return f"{introduction}\n{table(**known)}"


PAGES: dict[str, Callable[[], str]] = {
    "index.md": index,
    "reference/cli.md": command_line,
    "reference/python.md": python,
    "reference/http.md": http,
    "reference/recipes.md": recipes,
    "reference/papers.md": papers,
    "reference/training-data.md": training_data,
    "reference/layouts.md": layouts,
    "reference/datasets.md": datasets,
}


def on_files(files: Any, config: Any) -> Any:
    """mkdocs: add the generated pages."""
    from mkdocs.structure.files import File

    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """mkdocs: links to files outside docs/ lead to the repository, or are text where none is named."""
    docs = Path(config.docs_dir)
    folder = (docs / page.file.src_uri).parent

    def link(found: re.Match[str]) -> str:
        target = (folder / found[1].partition("#")[0]).resolve()
        if target.is_relative_to(docs):
            return found[0]
        place = target.relative_to(ROOT).as_posix()
        return f"]({config.repo_url.rstrip('/')}/blob/main/{place})" if config.repo_url else f"][{place}]"

    # [text][place] without a definition stays as it is written; turn it into text and code.
    return re.sub(r"\[([^\]\[]+)\]\[([^\]]+)\]", r"\1 (`\2`)", LINK.sub(link, markdown))


if __name__ == "__main__":
    print("\n".join(PAGES))
