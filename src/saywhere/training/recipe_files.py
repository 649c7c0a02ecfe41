"""Recipes on disk: those that ship by name, one that extends another, and changes from the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from saywhere.core.deprecation import rename_keys, warn_renamed
from saywhere.core.numbers import describe
from saywhere.errors import SaywhereError
from saywhere.storage.paths import is_file
from saywhere.training.recipe import SECTIONS, Recipe
from saywhere.training.stages import list_stages, merged

NOT_YAML = (OSError, ValueError, RecursionError, OverflowError, yaml.YAMLError)
"""Of files and texts that are no YAML: RecursionError where it is nested too deep, ValueError of a NUL in a path, of
bytes that are no text, of dates that are none, and of integers of thousands of digits."""
MAX_NESTING = 50  # of brackets in YAML, whose parser takes long for thousands
RECIPES = Path(__file__).parent / "recipes"


def recipe_names() -> list[str]:
    """The recipes that ship."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def find_recipe(recipe: str | Path) -> Path:
    """The file of a recipe that ships, by its name, or a path.

    Raises:
        SaywhereError: it is neither.
    """
    name, path = str(recipe), Path(recipe)
    if name in recipe_names():
        return RECIPES / f"{name}.yaml"
    if is_file(path):
        return path
    if path.parent.name == "recipes" and path.stem in recipe_names():
        warn_renamed(name, path.stem)
        return RECIPES / f"{path.stem}.yaml"
    raise SaywhereError(f"recipe '{name[:300]}': no such file; those that ship are {', '.join(recipe_names())}")


def read_recipe(recipe: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    ``extends`` in a recipe names another one, or several: those that ship by name, others by a file beside it. The
    recipe takes everything from them that it does not set itself. Mappings are merged key by key.

    Args:
        recipe: the name of a recipe that ships, or a YAML file.
        changes: ``"key=value"`` with a dotted key and a YAML value, for example ``"model.options.spatial=false"``. A
            change holds for every stage; ``stages.NAME.KEY`` changes one stage.

    Raises:
        SaywhereError: names the key that is wrong, and what it may be.

    Example:
        >>> read_recipe("dctnet-small", ["crop.size=320"]).crop.size
        320
    """
    path = find_recipe(recipe)
    content = _read(path)
    if isinstance(content, dict):
        for change in changes:
            set_key(content, change)
        content.setdefault("name", path.stem)
    try:
        checked = Recipe.model_validate(content)
    except ValidationError as error:
        raise SaywhereError(f"recipe '{recipe}': {faults(error)}") from error
    list_stages(checked)
    return checked


def faults(error: ValidationError) -> str:
    """The keys that are wrong, and why."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())


def set_key(content: dict[str, Any], change: str) -> None:
    """Change a recipe's content in place, see :func:`read_recipe`.

    Raises:
        SaywhereError: the change is not of the form ``key=value``, or its key does not lead anywhere.
    """
    key, equals, text = change.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise SaywhereError(f"--set '{change}': give key=value, for example crop.size=320")
    try:
        value = _load_yaml(text)
    except NOT_YAML as error:
        reason = " ".join(str(error).split())
        raise SaywhereError(f"--set {describe(change)}: the value of '{key}' is not YAML ({reason})") from error
    names = _new_names(names)
    _place(content, names, value, key)
    if names[0] != "stages":
        for stage in (content.get("stages") or {}).values():
            _remove(stage, names)


def _new_names(names: Sequence[str]) -> list[str]:
    """A dotted key with today's names."""
    stage = names[:2] if names[0] == "stages" else names[:0]
    rest = names[len(stage) :]
    place = [name for name in rest if not name.isdecimal()]
    section = SECTIONS.get(place[0]) if place else None
    old = rest[-1] if len(place) > 1 else ""
    if section is not None and len(place) == 2 and old in section.renamed:
        warn_renamed(f"recipe key {old}", f"recipe key {section.renamed[old]}")
        rest = [*rest[:-1], section.renamed[old]]
    elif len(rest) == 1 and rest[0] in Recipe.renamed:
        warn_renamed(f"recipe key {rest[0]}", f"recipe key {Recipe.renamed[rest[0]]}")
        rest = [Recipe.renamed[rest[0]]]
    return [*stage, *rest]


def _place(content: dict[str, Any], names: Sequence[str], value: Any, key: str) -> None:
    inside: Any = content
    for name in names[:-1]:
        if isinstance(inside, list) and name.isdecimal() and int(name) < len(inside):
            inside = inside[int(name)]
        elif isinstance(inside, dict):
            if inside.get(name) is None:
                inside[name] = {}
            inside = inside[name]
        else:
            raise SaywhereError(f"--set '{key}': '{name}' leads nowhere; give the recipe's own keys, joined by dots")
    last = names[-1]
    if isinstance(inside, list) and last.isdecimal() and int(last) < len(inside):
        inside[int(last)] = value
    elif isinstance(inside, dict):
        inside[last] = value
    else:
        raise SaywhereError(f"--set '{key}': '{last}' leads nowhere; give the recipe's own keys, joined by dots")


def _remove(content: Any, names: Sequence[str]) -> None:
    for name in names[:-1]:
        content = content.get(name) if isinstance(content, dict) else None
    if isinstance(content, dict):
        content.pop(names[-1], None)


def _read(path: Path, extending: tuple[Path, ...] = ()) -> Any:
    """A recipe file's content, with what it extends and today's keys."""
    try:
        content = _load_yaml(path.read_text(encoding="utf-8"))
    except NOT_YAML as error:
        raise SaywhereError(f"recipe '{path}': cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        return content
    bases = content.pop("extends", [])
    names = [bases] if isinstance(bases, str) else bases
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SaywhereError(
            f"recipe '{path}': extends {describe(bases)}: give the name of a recipe, or a list of names"
        )
    content = _with_new_keys(content)
    extended: dict[str, Any] = {}
    for name in names:
        base = _base(path, name)
        if base in (*extending, path):
            raise SaywhereError(f"recipe '{path}': extends itself by way of '{base}'; name another recipe")
        below = _read(base, (*extending, path))
        if not isinstance(below, dict):
            raise SaywhereError(f"recipe '{path}': extends '{base}', which is no recipe")
        extended = merged(extended, {key: value for key, value in below.items() if key != "name"})
    return merged(extended, content)


def _load_yaml(text: str) -> Any:
    """The value of a YAML text; raises :data:`NOT_YAML`."""
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_NESTING:
            raise ValueError(f"nested deeper than {MAX_NESTING} brackets")
    return yaml.safe_load(text)


def _base(path: Path, name: str) -> Path:
    """The file of what a recipe extends: one that ships, by its name, or a file beside the recipe."""
    beside = path.parent / name
    return RECIPES / f"{name}.yaml" if not is_file(beside) and name in recipe_names() else beside


def _with_new_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content with today's keys, before it is merged with that of other files."""
    renamed = rename_keys(content, Recipe.renamed, "recipe key ")
    for key, section in SECTIONS.items():
        value = renamed.get(key)
        if isinstance(value, Mapping):
            renamed[key] = rename_keys(value, section.renamed, "recipe key ")
        elif isinstance(value, list):
            renamed[key] = [
                rename_keys(item, section.renamed, "recipe key ") if isinstance(item, Mapping) else item
                for item in value
            ]
    return renamed
