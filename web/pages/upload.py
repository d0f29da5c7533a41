"""The home page, the upload form and the example pictures."""

from collections.abc import Iterator
from io import BytesIO
from typing import cast

from flask import Flask, Response, request, send_file

from classifier.contract import Engine
from classifier.errors import TooLarge
from web.pages.answering import answers_as_they_come, answers_at_once
from web.pages.arrival import ZipRequest
from web.pages.examples import Examples, examples_of
from web.pages.outcome import Outcome, Outcomes
from web.pages.recent import Recent
from web.pages.rendering import Rendering
from web.pages.sent import SentPhoto, are_kept, are_one_thing, sent_photos
from web.settings import Settings


class UploadViews:
    """The views of the form. Each reads the request, calls the engine, and renders."""

    def __init__(
        self, engine: Engine, settings: Settings, outcomes: Outcomes, recent: Recent, rendering: Rendering
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._max_bytes = settings.max_upload_mb * 2**20  # of photos in memory
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
        if self._settings.max_zip_files:
            cast(ZipRequest, request).allow_zips(self._settings)
        with self._engine.admit():  # before the upload is read, so that refusing it is cheap
            photos = sent_photos(request, self._settings, self._examples())
            is_one_thing, keep = are_one_thing(request), are_kept(request)
        if self._are_many(photos):
            return self._answer_as_they_come(photos, is_one_thing, keep)
        answers = answers_at_once(self._engine, photos)
        together = self._outcomes.together(answers) if is_one_thing else None
        outcomes = [
            self._outcomes.record(photo.filename, answer, keep) for photo, answer in zip(photos, answers, strict=True)
        ]
        response = self._rendering.outcomes(outcomes, together=together)
        self._recent.add(response, outcomes)
        return response

    def example(self, name: str) -> Response:
        return send_file(BytesIO(self._examples().read(name)), download_name=name, max_age=3600)

    def _are_many(self, photos: list[SentPhoto]) -> bool:
        """Return whether there are more photos than a request may hold without zip files, or larger ones."""
        return len(photos) > self._settings.max_files or sum(photo.size for photo in photos) > self._max_bytes

    def _answer_as_they_come(self, photos: list[SentPhoto], is_one_thing: bool, keep: bool) -> Response:
        """Answer the photos of large zip files while the client reads the answers to the first. Raises TooLarge."""
        if is_one_thing:
            raise TooLarge(
                "These photos are too many to be answered together; please send at most "
                f"{self._settings.max_files}, of {self._settings.max_upload_mb} MB in all."
            )
        response = self._rendering.stream(self._outcomes_of(photos, keep))
        response.call_on_close(cast(ZipRequest, request).keep_open())
        return response

    def _outcomes_of(self, photos: list[SentPhoto], keep: bool) -> Iterator[Outcome]:
        for photo, answer in answers_as_they_come(self._engine, photos, self._max_bytes, self._settings.timeout_s):
            yield self._outcomes.record(photo.filename, answer, keep)

    def _examples(self) -> Examples:
        return examples_of(self._engine, self._settings)
