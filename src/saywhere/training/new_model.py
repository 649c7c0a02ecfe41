"""The files of a new network in a clone of the project: its module, its recipes, and where it is registered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from saywhere.core.atomic import write_atomically
from saywhere.errors import SaywhereError

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MODELS = Path("src/saywhere/models")
RECIPES = Path("src/saywhere/training/recipes")
CONTRACT = Path("tests/support/network_contract.py")
SMALL = '"backbone": "mobilenetv2_050", "channels": 16'


def new_model(name: str, clone: Path) -> list[Path]:
    """Write what a new network needs; it works as it is, and is there to be changed.

    Args:
        name: in lower case, with hyphens between words.
        clone: a clone of the project.

    Returns:
        The files that were written or changed: the module, two recipes, the registration and that of the tests.

    Raises:
        SaywhereError: the name cannot be used or is taken, or the folder is no clone; nothing was changed.
    """
    if not NAME.fullmatch(name):
        raise SaywhereError(f"name '{name}': give words of lower-case letters and digits, as in my-method")
    registry, contract = clone / MODELS / "__init__.py", clone / CONTRACT
    for path in (registry, contract):
        if not path.is_file():
            raise SaywhereError(f"folder '{clone}': is no clone of the project, it has no {path.relative_to(clone)}")
    module = name.replace("-", "_")
    new = {
        clone / MODELS / f"{module}.py": "model.py.txt",
        clone / RECIPES / f"{name}.yaml": "recipe.yaml.txt",
        clone / RECIPES / f"{name}-small.yaml": "small.yaml.txt",
    }
    registered = registry.read_text(encoding="utf-8")
    if taken := next((path for path in new if path.exists()), None):
        raise SaywhereError(f"name '{name}': is taken, there is '{taken}'; choose another one")
    if f'"{name}":' in registered:
        raise SaywhereError(f"name '{name}': is taken, it is registered in '{registry}'; choose another one")
    values = {"TITLE": name.replace("-", " ").capitalize(), "CLASS": class_name(name), "NAME": name}
    changed = {
        registry: _registered(registered, name, module),
        contract: _insert(contract.read_text(encoding="utf-8"), "SMALL_OPTIONS", f'    "{name}": {{{SMALL}}},\n'),
    }
    contents = {path: _filled(template, values) for path, template in new.items()} | changed
    for path, content in contents.items():
        write_atomically(path, content.encode())
    return list(contents)


def class_name(name: str) -> str:
    """The class of a network.

    Example:
        >>> class_name("my-method")
        'MyMethod'
    """
    return "".join(part.capitalize() for part in name.split("-"))


def _filled(template: str, values: Mapping[str, str]) -> str:
    text = files(__package__).joinpath("templates", template).read_text(encoding="utf-8")
    for key, value in values.items():
        text = re.sub(rf"\b{key}\b", value, text)
    return text


def _registered(text: str, name: str, module: str) -> str:
    """The registry with an import and an entry, each in its place by the alphabet."""
    line = f"from saywhere.models.{module} import {class_name(name)}\n"
    imports = [each for each in text.splitlines(keepends=True) if each.startswith("from saywhere.")]
    after = max((each for each in imports if each < line), default=imports[0])
    return _insert(text.replace(after, after + line, 1), "MODELS: Final", f'    "{name}": {class_name(name)},\n')


def _insert(text: str, table: str, entry: str) -> str:
    """Add a line to a dictionary whose lines are sorted."""
    lines = text.splitlines(keepends=True)
    first = next((i for i, line in enumerate(lines) if line.startswith(table)), None)
    if first is None:
        raise SaywhereError(f"new-model: there is no table {table} to register in; was this clone changed?")
    place = first + 1
    while lines[place].startswith("    ") and lines[place] < entry:
        place += 1
    lines.insert(place, entry)
    return "".join(lines)
