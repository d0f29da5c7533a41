"""The photos that a form sends, those in its zip files among them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

from flask import Request
from werkzeug.datastructures import FileStorage

from classifier.errors import ClassifierError, Misunderstood, NoImage, TooLarge
from classifier.photos import zips
from classifier.photos.zips import ZipLimits
from web.pages.arrival import SentFile
from web.pages.examples import Examples
from web.pages.wording import printable
from web.settings import Settings

FIELD = "fileImage"
EXAMPLE = "example"
TOGETHER = "together"
KEEP = "keep"  # 0: the photos are answered, and nothing is kept
UNPACKED = 8  # times CLASSIFIER_MAX_ZIP_MB: how large the photos in a request's zip files may be


class SentPhoto(NamedTuple):
    """A photo with the name that was sent, made printable, and its size in bytes. `read` raises ClassifierError."""

    filename: str
    size: int
    read: Callable[[], bytes]


def sent_photos(request: Request, settings: Settings, examples: Examples) -> list[SentPhoto]:
    """Return the form's photos, or the example that was chosen. Raises NoImage, TooLarge or ResultNotFound.

    A zip file is one of the files that a request may hold, and its photos take its place; if it is refused, its error.
    """
    if name := request.form.get(EXAMPLE):
        return [in_memory(printable(name), examples.read(name))]
    files = [file for file in request.files.getlist(FIELD) if file.filename]
    if not files and FIELD in request.form:
        raise NoImage("The field fileImage holds text; please send a file (with curl: -F fileImage=@photo.jpg).")
    if not files:
        raise NoImage("No photo was sent; please choose one (with curl: -F fileImage=@photo.jpg).")
    if len(files) > settings.max_files:
        raise TooLarge(
            f"You sent {len(files)} photos, but one request may hold {settings.max_files}; please send fewer."
        )
    return photos_of(files, settings)


def photos_of(files: Sequence[FileStorage], settings: Settings) -> list[SentPhoto]:
    photos: list[SentPhoto] = []
    limits = ZipLimits(settings.max_zip_files, UNPACKED * settings.max_zip_mb * 2**20, settings.max_upload_mb * 2**20)
    for file in files:
        if is_zip(file) and settings.max_zip_files:
            zipped = unpacked(file, limits)
            limits = limits.without(len(zipped), sum(photo.size for photo in zipped))
            photos += zipped
        else:
            photos.append(in_memory(printable(file.filename or ""), file.read()))
    return photos


def is_zip(file: FileStorage) -> bool:
    return cast(SentFile, file.stream).is_zip


def in_memory(filename: str, data: bytes) -> SentPhoto:
    return SentPhoto(filename, len(data), lambda: data)


def unpacked(file: FileStorage, limits: ZipLimits) -> list[SentPhoto]:
    """Return the photos of a zip file, or the error with which it is refused in their place."""
    try:
        return [SentPhoto(photo.name, photo.size, photo.read) for photo in zips.photos(file.stream, limits)]
    except ClassifierError as error:
        return [SentPhoto(printable(file.filename or ""), 0, partial(refuse, error))]


def refuse(error: ClassifierError) -> bytes:
    raise error


def are_one_thing(request: Request) -> bool:
    """Return True if the photos are to get one answer besides their own. Raises Misunderstood."""
    return flag(request, TOGETHER, "0", "1 if the photos show one thing, otherwise 0 or left out")


def are_kept(request: Request) -> bool:
    """Return False if nothing of the photos and their answers may be kept. Raises Misunderstood."""
    return flag(request, KEEP, "1", "0 if nothing may be kept, otherwise 1 or left out")


def flag(request: Request, field: str, default: str, expected: str) -> bool:
    given = request.form.get(field, default)
    if given not in ("0", "1"):
        raise Misunderstood(f'"{field}" must be {expected}.')
    return given == "1"
