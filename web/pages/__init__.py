"""Pages for people, and for curl: the upload form, results and errors, in HTML or JSON."""

import secrets
from collections.abc import Callable
from functools import partial

from flask import Flask
from flask_bootstrap import Bootstrap5

from classifier.contract import Engine
from classifier.photos.decode import READABLE
from classifier.storage.feedback import Feedback
from classifier.storage.kept import KeptResults
from web.pages.arrival import request_class
from web.pages.outcome import Outcomes
from web.pages.recent import Recent
from web.pages.rendering import Rendering
from web.pages.results import ResultViews
from web.pages.similar import SimilarViews
from web.pages.upload import UploadViews
from web.pages.wording import none_of_these, percent, readable, sentence, surely, together_sentence
from web.settings import Settings


def add_pages(
    app: Flask, engine: Engine, uploads: KeptResults, settings: Settings, on_feedback: Callable[[bool], None]
) -> None:
    """Add the pages' views, templates and class of requests, and the handler of every error.

    `on_feedback` hears whether we were right.
    """
    outcomes = Outcomes(engine, uploads, settings.threshold, settings.top)
    recent = Recent(uploads, outcomes, settings.keep_hours)
    rendering = Rendering(engine, settings, outcomes.threshold, recent.outcomes)
    feedback = Feedback(uploads, settings.uploads, settings.keep_mb)
    UploadViews(engine, settings, outcomes, recent, rendering).add_to(app)
    ResultViews(engine, uploads, feedback, outcomes, recent, rendering, on_feedback).add_to(app)
    SimilarViews(engine, settings, outcomes).add_to(app)
    app.request_class = request_class(settings)
    app.register_error_handler(Exception, rendering.error)
    add_templates(app)


def add_templates(app: Flask) -> None:
    app.config["BOOTSTRAP_SERVE_LOCAL"] = True
    app.jinja_env.globals.update(readable_formats=READABLE, unique=partial(secrets.token_hex, 4))
    app.jinja_env.filters.update(
        none_of_these=none_of_these,
        percent=percent,
        readable=readable,
        sentence=sentence,
        surely=surely,
        together=together_sentence,
    )
    Bootstrap5(app)
