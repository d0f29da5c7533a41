"""For people, and curl."""

from flask import Flask

from classifier.contract import Engine
from classifier.storage.feedback import Feedback
from classifier.storage.kept import KeptResults
from web.pages.examples import examples_of
from web.pages.outcome import Outcomes
from web.pages.rendering import Rendering
from web.pages.results import ResultViews
from web.pages.upload import UploadViews
from web.settings import Settings


def add_pages(app: Flask, engine: Engine, settings: Settings, uploads: KeptResults) -> None:
    """The views, and the handler of every error."""
    examples = examples_of(settings)
    threshold = engine.model.threshold if settings.threshold is None else settings.threshold
    rendering = Rendering(engine.model, settings, examples, threshold)
    answers = Outcomes(engine.model.name, uploads, threshold)
    pages = UploadViews(engine, settings, examples, answers, rendering)
    app.add_url_rule("/", view_func=pages.home)
    app.add_url_rule("/", view_func=pages.classify, methods=["POST"])
    app.add_url_rule("/examples/<name>", view_func=pages.example)
    feedback = Feedback(uploads, settings.uploads, settings.keep_mb)
    ResultViews(engine, uploads, feedback, answers, rendering).add_to(app)
    app.register_error_handler(Exception, rendering.failed)
