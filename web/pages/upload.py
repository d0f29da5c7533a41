"""The home page, the upload form and the example pictures."""

from io import BytesIO
from typing import NamedTuple

from flask import Flask, Request, Response, request, send_file

from classifier.contract import Engine
from classifier.errors import NoImage, TooLarge
from web.pages.examples import Examples, examples_of
from web.pages.outcome import Outcomes
from web.pages.recent import Recent
from web.pages.rendering import Rendering
from web.pages.wording import printable
from web.settings import Settings

FIELD = "fileImage"
EXAMPLE = "example"


class SentPhoto(NamedTuple):
    filename: str
    data: bytes


def sent_photos(request: Request, max_files: int, examples: Examples) -> list[SentPhoto]:
    """Return the form's files, or the example that was chosen. Raises NoImage, TooLarge or ResultNotFound."""
    if name := request.form.get(EXAMPLE):
        return [SentPhoto(printable(name), examples.read(name))]
    files = [file for file in request.files.getlist(FIELD) if file.filename]
    if not files and FIELD in request.form:
        raise NoImage("The field fileImage holds text; please send a file (with curl: -F fileImage=@photo.jpg).")
    if not files:
        raise NoImage("No photo was sent; please choose one (with curl: -F fileImage=@photo.jpg).")
    if len(files) > max_files:
        raise TooLarge(f"You sent {len(files)} photos, but one request may hold {max_files}; please send fewer.")
    return [SentPhoto(printable(file.filename or ""), file.read()) for file in files]


class UploadViews:
    """The views of the form. Each reads the request, calls the engine, and renders."""

    def __init__(
        self, engine: Engine, settings: Settings, outcomes: Outcomes, recent: Recent, rendering: Rendering
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._outcomes = outcomes
        self._recent = recent
        self._rendering = rendering

    def add_to(self, app: Flask) -> None:
        app.add_url_rule("/", view_func=self.home)
        app.add_url_rule("/", view_func=self.classify, methods=["POST"])
        app.add_url_rule("/examples/<name>", view_func=self.example)

    def home(self) -> Response:
        return self._rendering.page()

    def classify(self) -> Response:
        with self._engine.admit():  # before the upload is read, so that refusing it is cheap
            photos = sent_photos(request, self._settings.max_files, self._examples())
        answers = self._engine.classify([photo.data for photo in photos])
        outcomes = [
            self._outcomes.record(photo.filename, answer) for photo, answer in zip(photos, answers, strict=True)
        ]
        response = self._rendering.outcomes(outcomes)
        self._recent.add(response, outcomes)
        return response

    def example(self, name: str) -> Response:
        return send_file(BytesIO(self._examples().read(name)), download_name=name, max_age=3600)

    def _examples(self) -> Examples:
        return examples_of(self._engine, self._settings)
