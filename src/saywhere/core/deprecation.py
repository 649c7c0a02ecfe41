"""Old names of public things: they work for one release and warn with the new name."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

Class = TypeVar("Class", bound=type)
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that a name is deprecated.

    Args:
        old: the name that was used, as the user wrote it.
        new: the name to use instead.
        stacklevel: how many frames above this function the user's code is.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warn_renamed("looks", "max_zoom_steps")
        >>> str(caught[0].message)
        'looks is deprecated and will be removed in the next release; use max_zoom_steps'
    """
    message = f"{old} is deprecated and will be removed in the next release; use {new}"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


def rename_keys(values: Mapping[str, Any], names: Mapping[str, str], where: str = "") -> dict[str, Any]:
    """Replace old keys by new ones, with a warning for each.

    Args:
        values: a mapping that may hold old keys.
        names: old keys to new keys.
        where: what the keys are prefixed with in the warning, for example ``"clicks."``.

    Returns:
        The mapping with new keys only, in the same order.
    """
    renamed = {}
    for key, value in values.items():
        if key in names and names[key] not in values:
            warn_renamed(where + key, where + names[key], stacklevel=4)
            key = names[key]
        renamed[key] = value
    return renamed


def renamed_methods(**names: str) -> Callable[[Class], Class]:
    """A class decorator that keeps methods and properties under their old names.

    Args:
        names: old name to new name.
    """

    def decorate(cls: Class) -> Class:
        for old, new in names.items():
            setattr(cls, old, _renamed_member(cls.__name__, old, new))
        return cls

    return decorate


def renamed_fields(**names: str) -> Callable[[Class], Class]:
    """A decorator for a dataclass that accepts fields by their old names.

    Args:
        names: old field to new field.
    """

    def decorate(cls: Class) -> Class:
        initialise: Any = cls.__init__  # type: ignore[misc]

        @functools.wraps(initialise)
        def accept(self: Any, *args: Any, **given: Any) -> None:
            initialise(self, *args, **rename_keys(given, names, f"{cls.__name__}."))

        cls.__init__ = accept  # type: ignore[misc]
        return renamed_methods(**names)(cls)

    return decorate


def renamed_arguments(**names: str) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """A decorator for a function that accepts keyword arguments by their old names.

    Args:
        names: old name to new name.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def call(*args: Parameters.args, **arguments: Parameters.kwargs) -> Result:
            renamed: Any = rename_keys(arguments, names, f"{function.__qualname__}: ")
            return function(*args, **renamed)

        return call

    return decorate


def _renamed_member(owner: str, old: str, new: str) -> property:
    def get(self: Any) -> Any:
        warn_renamed(f"{owner}.{old}", f"{owner}.{new}")
        return getattr(self, new)

    return property(get, doc=f"Deprecated: use :attr:`{new}`.")
