"""What came in: the photos of the upload form."""

from io import BytesIO
from typing import NamedTuple

from flask import Request, Response, request, send_file

from classifier.contract import Engine
from classifier.errors import NoImage, TooLarge
from web.pages.examples import Examples
from web.pages.outcome import Outcomes
from web.pages.rendering import Rendering
from web.pages.wording import printable
from web.settings import Settings

FIELD = "fileImage"
EXAMPLE = "example"


class SentPhoto(NamedTuple):
    filename: str
    data: bytes


def sent_photos(request: Request, max_files: int, examples: Examples) -> list[SentPhoto]:
    """The files of the form, read, or the example that was chosen. Raises NoImage, TooLarge or ResultNotFound."""
    if name := request.form.get(EXAMPLE):
        return [SentPhoto(printable(name), examples.read(name))]
    files = [file for file in request.files.getlist(FIELD) if file.filename]
    if not files and FIELD in request.form:
        raise NoImage("The field fileImage holds text; please send a file (with curl: -F fileImage=@photo.jpg).")
    if not files:
        raise NoImage("No photo was sent; please choose one (with curl: -F fileImage=@photo.jpg).")
    if len(files) > max_files:
        raise TooLarge(f"These are {len(files)} photos, and one request may hold {max_files}; please send fewer.")
    return [SentPhoto(printable(file.filename or ""), file.read()) for file in files]


class UploadViews:
    """The views. Each reads the request, asks the engine, and renders."""

    def __init__(
        self, engine: Engine, settings: Settings, examples: Examples, answers: Outcomes, rendering: Rendering
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._examples = examples
        self._answers = answers
        self._rendering = rendering

    def home(self) -> Response:
        return self._rendering.page()

    def classify(self) -> Response:
        with self._engine.admit():  # before the upload is read: refusing has to be cheap
            photos = sent_photos(request, self._settings.max_files, self._examples)
        answers = self._engine.classify([photo.data for photo in photos])
        return self._rendering.answered(
            [self._answers.result(photo.filename, answer) for photo, answer in zip(photos, answers, strict=True)]
        )

    def example(self, name: str) -> Response:
        return send_file(BytesIO(self._examples.read(name)), download_name=name, max_age=3600)
