"""Options under the names that they had before: they work for one release, and a line names the new one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

RENAMED = {
    "segment": {"--heat": "--relevance"},
    "bench": {"--until": "--target-iou", "--strays": "--unclicked-components"},
    "convert": {"--photos": "--images"},
    "prelabel": {"--photos": "--images"},
}


def with_new_names(arguments: Sequence[str], warn: Callable[[str], None]) -> list[str]:
    """Replace old names of options by new ones.

    Args:
        arguments: what was given on the command line, the verb first.
        warn: called with one line for each old name.

    Returns:
        The arguments, with new names only.

    Example:
        >>> with_new_names(["bench", "--until=85", "--drag"], print)
        --until is deprecated and will be removed in the next release; use --target-iou
        ['bench', '--target-iou=85', '--drag']
    """
    names = RENAMED.get(arguments[0], {}) if arguments else {}
    renamed = []
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if option in names:
            warn(f"{option} is deprecated and will be removed in the next release; use {names[option]}")
            argument = names[option] + equals + value
        renamed.append(argument)
    return renamed
