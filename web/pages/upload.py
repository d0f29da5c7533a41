"""The home page, the upload form and the example pictures."""

from collections.abc import Iterator
from io import BytesIO
from typing import cast

from flask import Flask, Response, request, send_file

from classifier.contract import Engine
from web.pages.arrival import ZipRequest
from web.pages.examples import Examples, examples_of
from web.pages.outcome import Outcome, Outcomes
from web.pages.recent import Recent
from web.pages.rendering import Rendering
from web.pages.sent import Answers, SentPhoto, answers_to, content, patient_answers, sent_photos, some_at_a_time
from web.settings import Settings

TOGETHER = "together"  # 1: the photos show one thing, so they get one answer besides their own
KEEP = "keep"  # 0: answer, and keep nothing


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
        if self._settings.max_zip_files:
            cast(ZipRequest, request).allow_zips(self._settings)
        with self._engine.admit():  # before the upload is read, so that refusing it is cheap
            photos = sent_photos(request, self._settings, self._examples())
        if len(photos) > self._settings.max_files:
            return self._answer_as_they_come(photos)
        answers = answers_to(self._engine, [content(photo) for photo in photos])
        outcomes = self._recorded(photos, answers)
        together = self._outcomes.together(answers) if request.form.get(TOGETHER) == "1" else None
        response = self._rendering.outcomes(outcomes, together=together)
        self._recent.add(response, outcomes)
        return response

    def example(self, name: str) -> Response:
        return send_file(BytesIO(self._examples().read(name)), download_name=name, max_age=3600)

    def _answer_as_they_come(self, photos: list[SentPhoto]) -> Response:
        """Answer the photos of large zip files while the client reads the answers to the first."""
        response = self._rendering.stream(self._outcomes_of(photos))
        response.call_on_close(cast(ZipRequest, request).keep_open())
        return response

    def _outcomes_of(self, photos: list[SentPhoto]) -> Iterator[Outcome]:
        for some in some_at_a_time(photos, self._settings.max_upload_mb * 2**20):
            yield from self._recorded(some, patient_answers(self._engine, some, self._settings.timeout_s))

    def _recorded(self, photos: list[SentPhoto], answers: Answers) -> list[Outcome]:
        keep = request.form.get(KEEP) != "0"
        pairs = zip(photos, answers, strict=True)
        return [self._outcomes.record(photo.filename, answer, keep) for photo, answer in pairs]

    def _examples(self) -> Examples:
        return examples_of(self._engine, self._settings)
