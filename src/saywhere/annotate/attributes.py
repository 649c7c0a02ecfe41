"""Attributes of a label's objects: how they are defined, and what the values of an object mean by that.

Events name an attribute as it was called when they were stored, and never change. A definition that was renamed
remembers its former names, under which values are found again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from saywhere.annotate.interactions import Attribute
from saywhere.errors import SaywhereError

AttributeKind = Literal["text", "number", "choice", "flag"]
MAX_ATTRIBUTES = 50  # of one label
MAX_VALUES = 200  # of one choice
# How CVAT calls the kinds in its definitions of labels, with further names that mean the same.
CVAT_TYPES: Final[Mapping[str, AttributeKind]] = {
    "text": "text", "number": "number", "select": "choice", "radio": "choice", "checkbox": "flag",
}  # fmt: skip
TO_CVAT: Final = {"text": "text", "number": "number", "choice": "select", "flag": "checkbox"}


@dataclass(frozen=True, slots=True)
class AttributeDefinition:
    """An attribute that the objects of a label have.

    Attributes:
        name: what it is called.
        kind: text, a number, one of listed values, or yes and no.
        values: those that can be chosen; of a choice only.
        default: what an object has that was given no value; None for nothing.
        former: names that it had before.

    Example:
        >>> colour = AttributeDefinition("colour", "choice", ("red", "green"), default="red")
        >>> colour.check("green")
    """

    name: str
    kind: AttributeKind
    values: tuple[str, ...] = ()
    default: Attribute | None = None
    former: tuple[str, ...] = ()

    def check(self, value: Attribute) -> None:
        """Raise SaywhereError where a value is not one of this attribute."""
        if self.kind == "choice" and value not in self.values:
            raise SaywhereError(f"attribute '{self.name}': {value!r} is not one of {', '.join(self.values)}")
        if self.kind == "flag" and not isinstance(value, bool):
            raise SaywhereError(f"attribute '{self.name}': {value!r} is neither true nor false")
        if self.kind == "number" and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise SaywhereError(f"attribute '{self.name}': {value!r} is no number")
        if self.kind == "text" and not isinstance(value, str):
            raise SaywhereError(f"attribute '{self.name}': {value!r} is no text")

    def as_data(self) -> dict[str, Any]:
        """As the database has it."""
        return {
            "name": self.name, "kind": self.kind, "values": list(self.values), "default": self.default,
            "former": list(self.former),
        }  # fmt: skip

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> AttributeDefinition:
        """From what :meth:`as_data` gave."""
        return cls(data["name"], data["kind"], tuple(data["values"]), data["default"], tuple(data["former"]))

    def as_cvat(self) -> dict[str, Any]:
        """As CVAT defines attributes of a label."""
        default = "" if self.default is None else str(self.default)
        if isinstance(self.default, bool):
            default = default.lower()
        elif isinstance(self.default, (int, float)):
            default = f"{self.default:g}"
        return {
            "name": self.name, "input_type": TO_CVAT[self.kind], "mutable": False, "values": list(self.values),
            "default_value": default,
        }  # fmt: skip

    @classmethod
    def from_cvat(cls, data: Any) -> AttributeDefinition:
        """From CVAT's definition of an attribute.

        Raises:
            SaywhereError: it is none.

        Example:
            >>> AttributeDefinition.from_cvat({"name": "wet", "input_type": "checkbox", "default_value": "false"})
            AttributeDefinition(name='wet', kind='flag', values=(), default=False, former=())
        """
        given = data if isinstance(data, dict) else {}
        name, kind = given.get("name"), CVAT_TYPES.get(str(given.get("input_type")))
        if not isinstance(name, str) or kind is None:
            raise SaywhereError("attribute: expected a name and an input_type of text, number, select or checkbox")
        values, text = given.get("values"), str(given.get("default_value") or "").strip()
        default: Attribute | None = text or None
        if kind == "flag":
            default = {"true": True, "false": False}.get(text.lower())
        elif kind == "number" and text:
            try:
                default = float(text)
            except ValueError as error:
                raise SaywhereError(f"attribute '{name}': its default {text!r} is no number") from error
        listed = tuple(str(value) for value in values) if isinstance(values, list) and kind == "choice" else ()
        return checked(cls(name, kind, listed, default))


def checked(definition: AttributeDefinition) -> AttributeDefinition:
    """A definition whose name and values are without needless spaces.

    Raises:
        SaywhereError: it has no name, its values are none or too many, or its default is not one of them.
    """
    name, values = _clean(definition.name), tuple(_clean(value) for value in definition.values)
    if not 0 < len(name) <= 100 or definition.kind not in get_args(AttributeKind):
        raise SaywhereError("attribute: give a name of at most 100 characters, and a kind")
    if definition.kind == "choice" and (not all(values) or not values or len(set(values)) < len(values)):
        raise SaywhereError(f"attribute '{name}': a choice needs values, each once, and none empty")
    if definition.kind != "choice" and values:
        raise SaywhereError(f"attribute '{name}': only a choice has listed values")
    if len(values) > MAX_VALUES or any(len(value) > 200 for value in values):
        raise SaywhereError(f"attribute '{name}': at most {MAX_VALUES} values, of at most 200 characters")
    default = _clean(definition.default) if isinstance(definition.default, str) else definition.default
    cleaned = replace(definition, name=name, values=values, default=None if default == "" else default)
    if cleaned.default is not None:
        cleaned.check(cleaned.default)
    return cleaned


def redefined(
    new: Sequence[tuple[AttributeDefinition, str | None]], old: Sequence[AttributeDefinition]
) -> tuple[AttributeDefinition, ...]:
    """The definitions of a label after a change, with the former names of those that stay.

    Args:
        new: each definition, and the name that it had before where that was another.
        old: the label's definitions until now.

    Raises:
        SaywhereError: one cannot be used, two have the same name, or one has a former name of another.

    Example:
        >>> shade = AttributeDefinition("shade", "text")
        >>> redefined([(shade, "colour")], [AttributeDefinition("colour", "text")])[0].former
        ('colour',)
    """
    known, result = {one.name: one for one in old}, []
    if len(new) > MAX_ATTRIBUTES:
        raise SaywhereError(f"attributes: {len(new)} of one label; {MAX_ATTRIBUTES} is the maximum")
    for given, renamed_from in new:
        one = checked(given)
        if renamed_from is not None and renamed_from not in known:
            raise SaywhereError(f"attribute '{one.name}': there is no attribute '{renamed_from}' that it was before")
        before = known.get(one.name if renamed_from is None else renamed_from)
        names = () if before is None else (*before.former, before.name)
        result.append(replace(one, former=tuple(name for name in dict.fromkeys(names) if name != one.name)))
    present = [one.name.casefold() for one in result]
    for one in result:
        if present.count(one.name.casefold()) > 1:
            raise SaywhereError(f"attribute '{one.name}': two have this name; give each a name of its own")
        for other in result:
            if one.name in other.former:
                raise SaywhereError(f"attribute '{one.name}': '{other.name}' had this name before; choose another one")
    return tuple(result)


def missing_definitions(
    some: Sequence[AttributeDefinition], known: Sequence[AttributeDefinition]
) -> list[AttributeDefinition]:
    """Those of some definitions whose names are neither present nor former names of known ones."""
    taken = {name.casefold() for one in known for name in (one.name, *one.former)}
    return [one for one in some if one.name.casefold() not in taken]


def current_values(values: Mapping[str, Attribute], definitions: Sequence[AttributeDefinition]) -> dict[str, Attribute]:
    """An object's values by the present names of its label's attributes; others as they are.

    Example:
        >>> current_values({"colour": "red"}, [AttributeDefinition("shade", "text", former=("colour",))])
        {'shade': 'red'}
    """
    present = {one.name: one.name for one in definitions}
    names = {former: one.name for one in definitions for former in one.former} | present
    result = {names[name]: value for name, value in values.items() if name in names and names[name] not in values}
    return result | {name: value for name, value in values.items() if name not in names or name in present}


def with_defaults(values: Mapping[str, Attribute], definitions: Sequence[AttributeDefinition]) -> dict[str, Attribute]:
    """An object's values by their present names, and the defaults of attributes that it has no value of."""
    defaults = {one.name: one.default for one in definitions if one.default is not None}
    return defaults | current_values(values, definitions)


def _clean(text: str) -> str:
    return " ".join(text.split())
