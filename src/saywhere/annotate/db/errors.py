"""What the database's queries raise."""

from __future__ import annotations

from saywhere.errors import SaywhereError


class NotFoundError(SaywhereError):
    """Asked for something that is not in the project."""


class ConflictError(SaywhereError):
    """What is to be changed is another than the person saw: somebody, or another page, changed it in between."""
