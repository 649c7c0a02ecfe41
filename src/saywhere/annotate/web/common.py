"""What the routes share: parameters, and the errors that they document."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Depends, Header, Path

from saywhere.annotate.db.store import Author
from saywhere.annotate.web.responses import ErrorOut

Responses = dict[int | str, dict[str, Any]]
COMMON_ERRORS: Responses = {
    503: {"model": ErrorOut, "description": "the database cannot be used now, or too many requests"},
    401: {"model": ErrorOut, "description": "the server wants a token: see /login"},
    403: {"model": ErrorOut, "description": "from another site, or under another host name"},
    413: {"model": ErrorOut, "description": "too large"},
    422: {"model": ErrorOut, "description": "cannot be used; the text says why and what to do"},
}
NOT_FOUND: Responses = {404: {"model": ErrorOut, "description": "not in this project"}}
CONFLICT: Responses = {409: {"model": ErrorOut, "description": "changed meanwhile, or superseded; load again"}}
LOCKED: Responses = {423: {"model": ErrorOut, "description": "somebody else is editing this image"}}
JPEG: Responses = {200: {"content": {"image/jpeg": {}}, "description": "a JPEG"}}
PNG: Responses = {200: {"content": {"image/png": {}}, "description": "a PNG"}}

IMMUTABLE = {"cache-control": "private, max-age=31536000, immutable"}
NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f]*$"
ImageId = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of an image in the list")]


def get_author(
    x_saywhere_client: Annotated[str, Header(max_length=64, description="names the page or program")] = "reader",
    x_saywhere_person: Annotated[str, Header(max_length=600, description="a name, percent-encoded")] = "",
) -> Author:
    """Who sends a request; the guard has checked the client's name wherever something is to be changed."""
    name = "".join(c for c in unquote(x_saywhere_person) if c.isprintable()).strip()
    return Author(x_saywhere_client, name[:100] or "somebody")


RequestAuthor = Annotated[Author, Depends(get_author)]
