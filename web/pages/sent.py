"""The photos that a form sends, those in its zip files among them, and their answers."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, cast

from flask import Request
from werkzeug.datastructures import FileStorage

from classifier.contract import Answer, Engine
from classifier.errors import ClassifierError, NoImage, TooLarge, Unavailable
from classifier.photos import zips
from classifier.photos.zips import ZipLimits
from web.pages.arrival import SentFile
from web.pages.examples import Examples
from web.pages.wording import printable
from web.settings import Settings

FIELD = "fileImage"
EXAMPLE = "example"
UNPACKED = 8  # times CLASSIFIER_MAX_ZIP_MB: how large the photos in a request's zip files may be
AT_ONCE = 4  # photos of a zip file in the engine: a fraction of a batch, so that others' photos hardly wait for them
PAUSES_S = (1, 2, 4)  # before photos of a zip file are asked again that the engine had no room for

Answers = list[Answer | ClassifierError]


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


def some_at_a_time(photos: Sequence[SentPhoto], max_bytes: int) -> Iterator[list[SentPhoto]]:
    """Split photos into groups of at most `AT_ONCE`, and `max_bytes` unless a single photo has more."""
    some: list[SentPhoto] = []
    for photo in photos:
        if some and (len(some) == AT_ONCE or sum(other.size for other in some) + photo.size > max_bytes):
            yield some
            some = []
        some.append(photo)
    yield some


def answers_to(engine: Engine, contents: Sequence[bytes | Answer | ClassifierError]) -> Answers:
    """Return the answers to photos, in order; anything else among them stays in its place."""
    answers = iter(engine.classify([content for content in contents if isinstance(content, bytes)]))
    return [next(answers) if isinstance(content, bytes) else content for content in contents]


def content(photo: SentPhoto) -> bytes | ClassifierError:
    try:
        return photo.read()
    except ClassifierError as error:
        return error


def patient_answers(
    engine: Engine, photos: Sequence[SentPhoto], patience_s: float, pause: Callable[[float], None] = time.sleep
) -> Answers:
    """Return the answers to photos; ask again for those that there was no room for, for about `patience_s`."""
    until = time.monotonic() + patience_s
    contents = [content(photo) for photo in photos]
    answers = answers_to(engine, contents)
    for pause_s in PAUSES_S:
        if not any(isinstance(answer, Unavailable) for answer in answers) or time.monotonic() > until:
            break
        pause(pause_s)
        pairs = zip(contents, answers, strict=True)
        answers = answers_to(engine, [sent if isinstance(answer, Unavailable) else answer for sent, answer in pairs])
    return answers
