"""Routes of images: the list, one image, its picture, its edit lock."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import quote

from fastapi import FastAPI, Query, Response

from saywhere.annotate.db.summaries import ImageSummary
from saywhere.annotate.events import Status
from saywhere.annotate.picture import JPEG_QUALITY, crop_image, encode_jpeg
from saywhere.annotate.service import Annotator, image_version
from saywhere.annotate.thumbnails import ThumbnailCache
from saywhere.annotate.web.common import (  # fmt: skip
    CONFLICT,
    IMMUTABLE,
    JPEG,
    LOCKED,
    NO_CONTROL_CHARACTERS,
    NOT_FOUND,
    PNG,
    ImageId,
    RequestAuthor,
)
from saywhere.annotate.web.responses import ImageOut, ImagesOut, LockOut, OpenedImageOut, StateOut
from saywhere.core.render import encode_image
from saywhere.errors import SaywhereError

NO_SUMMARY = ImageSummary()  # of images that nobody worked on


def add_image_routes(app: FastAPI, annotator: Annotator) -> None:
    """Add the routes of images."""
    _add_list_routes(app, annotator)
    _add_picture_routes(app, annotator)
    _add_cutout_route(app, annotator)
    _add_lock_routes(app, annotator)


def _add_list_routes(app: FastAPI, annotator: Annotator) -> None:
    @app.get("/api/images", tags=["images"])
    def list_images(
        state: Status | None = None,
        search: Annotated[
            str | None, Query(max_length=200, pattern=NO_CONTROL_CHARACTERS, description="part of the path")
        ] = None,
        offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
        limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
        disagreement: Annotated[bool, Query(description="with disagreements, which take time the first time")] = False,
    ) -> ImagesOut:
        """Images by path."""
        store = annotator.store
        total, rows = store.list_images(state, search, offset, limit)
        summaries, assigned = store.summaries([row.id for row in rows if row.seq]), store.assignments.all()
        differ = annotator.disagreements([row for row in rows if row.objects]) if disagreement else {}
        images = [
            ImageOut.of(row, summaries.get(row.id, NO_SUMMARY), assigned.get(row.id), differ.get(row.id))
            for row in rows
        ]
        return ImagesOut(total=total, offset=offset, images=images)

    @app.get("/api/images/{image}", tags=["images"], responses=NOT_FOUND)
    def open_image(image: ImageId, author: RequestAuthor) -> OpenedImageOut:
        """Open an image: its size, objects and masks."""
        return OpenedImageOut.of(annotator.open_image(image, author))

    @app.get("/api/images/{image}/state", tags=["images"], responses=NOT_FOUND)
    def image_state(image: ImageId) -> StateOut:
        """An image's objects and masks, also where its file cannot be read."""
        return StateOut.of(annotator.image_state(image))

    @app.post("/api/images/{image}/prefetch", tags=["images"], status_code=204, responses=NOT_FOUND)
    def prefetch(image: ImageId) -> None:
        """Load and encode an image ahead, so that its first click is answered fast."""
        annotator.prefetch(image)


def _add_picture_routes(app: FastAPI, annotator: Annotator) -> None:
    thumbnails = ThumbnailCache(annotator.folder)

    @app.get("/api/images/{image}/thumbnail", tags=["images"], responses=NOT_FOUND | JPEG, response_class=Response)
    def thumbnail(image: ImageId) -> Response:
        """A thumbnail for the list."""
        headers = {"cache-control": "private, max-age=600"}
        content = thumbnails.get(annotator.store.image(image).path)
        return Response(content, media_type="image/jpeg", headers=headers)

    @app.get("/api/images/{image}/picture", tags=["images"], responses=NOT_FOUND | JPEG, response_class=Response)
    def picture(
        image: ImageId,
        left: Annotated[int, Query(ge=0, le=10**6)] = 0,
        top: Annotated[int, Query(ge=0, le=10**6)] = 0,
        right: Annotated[int, Query(ge=1, le=10**6)] = 10**6,
        bottom: Annotated[int, Query(ge=1, le=10**6)] = 10**6,
        longest: Annotated[int, Query(ge=16, le=65_535, description="longer side at most, in pixels")] = 2048,
        quality: Annotated[int, Query(ge=50, le=100, description="of the JPEG")] = JPEG_QUALITY,
        version: Annotated[str | None, Query(max_length=64, description="the image's; then cached for long")] = None,
    ) -> Response:
        """An image, or a rectangle of it, upright; reduced where it is larger than ``longest``."""
        loaded = annotator.load_image(image)
        size = loaded.size
        box = (left, top, min(right, size.width), min(bottom, size.height))
        if box[0] >= box[2] or box[1] >= box[3]:
            raise SaywhereError(
                f"rectangle {left},{top} to {right},{bottom}: contains no pixel of {size.width}x{size.height}"
            )
        content = encode_jpeg(crop_image(loaded.pixels, box, longest), quality)
        headers = IMMUTABLE if version == image_version(loaded) else None
        return Response(content, media_type="image/jpeg", headers=headers)


def _add_cutout_route(app: FastAPI, annotator: Annotator) -> None:
    @app.get("/api/images/{image}/cutout", tags=["results"], responses=NOT_FOUND | PNG, response_class=Response)
    def cutout(
        image: ImageId,
        object: Annotated[int | None, Query(ge=1, le=10**6, description="number of an object; all without")] = None,
        blur: Annotated[
            float | None, Query(gt=0, le=10**5, description="radius in pixels; without, the objects alone")
        ] = None,
    ) -> Response:
        """Objects with soft edges and nothing around them, or sharp before their background, blurred."""
        content = encode_image(annotator.cutout(image, object, blur), ".png")
        assert content is not None, "OpenCV writes PNG"
        stem = PurePosixPath(annotator.store.image(image).path).stem
        name = quote(f"{stem}-{'cutout' if blur is None else 'blurred'}.png")
        headers = {"content-disposition": f"attachment; filename*=utf-8''{name}", "cache-control": "no-store"}
        return Response(content, media_type="image/png", headers=headers)


def _add_lock_routes(app: FastAPI, annotator: Annotator) -> None:
    store = annotator.store

    @app.post("/api/images/{image}/lock", tags=["images"], responses=NOT_FOUND | LOCKED | CONFLICT)
    def lock(image: ImageId, author: RequestAuthor, take: bool = False) -> LockOut:
        """Lock an image for a while; ``take`` takes the lock over from somebody else."""
        return LockOut.of(store.lock_image(image, author, take))

    @app.delete("/api/images/{image}/lock", tags=["images"], status_code=204, responses=NOT_FOUND)
    def unlock(image: ImageId, author: RequestAuthor) -> None:
        """Release an image's lock."""
        store.unlock_image(image, author)
