"""Results and errors -> the page, or JSON for those who ask for it."""

import threading
from collections.abc import Sequence

from flask import Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import SecurityError, Unauthorized

from classifier.contract import ModelInfo
from web.pages.examples import Examples
from web.pages.outcome import Outcome
from web.problems import problem, problem_json, wants_json, with_status
from web.settings import Settings

MAX_SUGGESTIONS = 50
STRANGERS = (Unauthorized, SecurityError)  # they get to see nothing of the site


class Rendering:
    """What every page shows besides its results: the form, the model, the examples."""

    def __init__(self, model: ModelInfo, settings: Settings, examples: Examples, threshold: float) -> None:
        self._model = model
        self._settings = settings
        self._examples = examples
        self._threshold = threshold
        labels = [label.name for label in model.labels]
        self._suggestions = labels if len(labels) <= MAX_SUGGESTIONS else []  # of what a photo may show instead
        # One page at a time: the photos of a batch are answered together, and threads that render at once only fight
        # for the interpreter, which cost 2 % of the photos from 32 clients (docs/performance.md).
        self._turn = threading.Lock()

    def failed(self, error: Exception) -> Response:
        """Any error at all, as a problem document or on the page with its sentence and the form."""
        told = problem(error)
        if wants_json(request):
            response = problem_json(told.as_json())
        elif isinstance(error, STRANGERS):
            response = make_response(render_template("refused.html", error=told))
        else:
            response = self.page([Outcome(error=told)])
        with_status(response, told, error)
        return response

    def answered(self, results: Sequence[Outcome], model: str | None = None) -> Response:
        """200 when at least one photo was answered, else the status of the first error."""
        errors = [result.error for result in results if result.error]
        failed = errors[0] if len(errors) == len(results) else None
        document = {"model": model or self._model.name, "results": [result.as_json() for result in results]}
        if not wants_json(request):
            response = self.page(results)
        elif failed:
            response = problem_json(failed.as_json() | document)
        else:
            response = jsonify(document)
        if failed:
            with_status(response, failed)
        response.cache_control.no_store = True
        return response

    def page(self, results: Sequence[Outcome] = (), notice: str | None = None) -> Response:
        context = {"model": self._model, "settings": self._settings, "results": results, "notice": notice}
        own = {
            "examples": self._examples.names(),
            "threshold": self._threshold,
            "suggestions": self._suggestions,
            "why": request.args.get("why", type=int),
        }
        with self._turn:
            return make_response(render_template("index.html", **context, **own))
