"""Outcomes and errors -> a page, or JSON for clients that prefer it."""

import base64
import json
import math
import threading
import time
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextvars import copy_context
from dataclasses import replace

from flask import Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import SecurityError, Unauthorized

from classifier.contract import Engine, ModelInfo
from classifier.errors import Unavailable
from web.pages.examples import examples_of
from web.pages.outcome import Outcome, Together
from web.pages.spreadsheet import csv_lines
from web.problems import CSV, RETRY_AFTER_S, Problem, prefers_csv, prefers_json, problem, problem_json, set_status
from web.settings import Settings

MAX_SUGGESTIONS = 50
MAX_REFUSALS = 16  # pages of refusals that are kept
UNKNOWN_ORIGIN = "https://site.example"  # static/site.js puts the true one in its place
ACCESS_ERRORS = (Unauthorized, SecurityError)  # their page shows nothing of the site


class InContext(Iterator[str]):
    """Parts that are made in the context of the request that asked for them, after that request is over.

    Flask's `stream_with_context` stays in the context between two parts, and runs what ends a request twice.
    """

    def __init__(self, parts: Generator[str]) -> None:
        self._parts = parts
        self._context = copy_context()

    def __next__(self) -> str:
        return self._context.run(next, self._parts)

    def close(self) -> None:
        self._context.run(self._parts.close)


class Rendering:
    """Renders pages with the parts that they share: the form, the model, the examples."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        threshold: Callable[[], float],
        recent: Callable[[], Sequence[Outcome]],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._threshold = threshold
        self._recent = recent
        # One page at a time: the photos of a batch are answered together, and threads that render at once compete
        # for the interpreter, which cost 2% of the throughput with 32 clients (docs/performance.md).
        self._lock = threading.Lock()
        self._refusals: dict[Hashable, tuple[float, str]] = {}  # when the page was rendered, and the page

    def error(self, error: Exception) -> Response:
        """Return any error as a problem document, or as a page with its sentence and the form."""
        found = problem(error)
        if prefers_json(request) or prefers_csv(request):
            response = problem_json(found.as_json())
        elif isinstance(error, ACCESS_ERRORS):
            response = make_response(render_template("refused.html", error=found))
        elif isinstance(error, Unavailable) and not is_part():
            response = self._refusal(found)
        else:
            response = self.page([Outcome(error=found)])
        set_status(response, found, error)
        return response

    def _refusal(self, found: Problem) -> Response:
        """Return the page of a refusal, rendered once for a while: to refuse must cost little beside an answer."""
        key = (found.detail, request.cookies.get("theme"), request.script_root, origin(self._settings))
        rendered_at, html = self._refusals.get(key, (-math.inf, ""))
        if time.monotonic() > rendered_at + RETRY_AFTER_S:
            html = self.page([Outcome(error=found)]).get_data(as_text=True)
            if len(self._refusals) >= MAX_REFUSALS:
                self._refusals.clear()
            self._refusals[key] = time.monotonic(), html
        return with_page_headers(make_response(html))

    def outcomes(
        self,
        outcomes: Sequence[Outcome],
        model: str | None = None,
        together: Together | None = None,
        many: bool = False,
    ) -> Response:
        """Return outcomes with status 200 if any photo was classified, else with the status of the first error."""
        errors = [outcome.error for outcome in outcomes if outcome.error]
        failure = errors[0] if len(errors) == len(outcomes) else None
        model = model or self._engine.model.name
        one = {"together": together.as_json()} if together else {}
        document = {"model": model} | one | {"results": [outcome.as_json() for outcome in outcomes]}
        if prefers_csv(request):
            response = Response("".join(csv_lines(outcomes, model)), mimetype=CSV)
        elif not prefers_json(request):
            response = self.page(outcomes, answered_by=model, together=together, many=many)
        elif failure:
            response = problem_json(failure.as_json() | document)
        else:
            response = jsonify(document)
        if failure:
            set_status(response, failure)
        response.cache_control.no_store = True
        return response

    def stream(self, outcomes: Iterator[Outcome]) -> Response:
        """Return outcomes as they come, with status 200 even if none of the photos can be answered.

        A page is sent whole at the end, after a line break for every outcome, so that nobody waits for it in silence.
        """
        model = self._engine.model.name
        if prefers_csv(request):
            body, mimetype = csv_lines(outcomes, model), CSV
        elif prefers_json(request):
            body, mimetype = json_parts(outcomes, model), "application/json"
        else:
            body, mimetype = self._page_after(outcomes), "text/html"
        response = Response(InContext(body), mimetype=mimetype)
        response.cache_control.no_store = True
        response.headers["X-Accel-Buffering"] = "no"  # nginx passes on each part
        return response

    def _page_after(self, outcomes: Iterator[Outcome]) -> Generator[str]:
        shown = []
        for outcome in outcomes:
            # Pictures that are embedded in the page would fill the memory.
            shown.append(outcome if outcome.url else replace(outcome, picture=None))
            yield "\n"
        yield self.page(shown).get_data(as_text=True)

    def page(
        self,
        outcomes: Sequence[Outcome] = (),
        notice: str | None = None,
        answered_by: str | None = None,
        together: Together | None = None,
        many: bool = False,
    ) -> Response:
        """Return the page. It lists `many` outcomes, as it does more than one anyway, instead of showing one."""
        model = self._engine.model
        many = many or is_part() or len(outcomes) > 1
        lines = list(csv_lines(outcomes if many else (), answered_by or model.name))
        start = not many and not any(outcome.predictions for outcome in outcomes)
        has_errors = any(outcome.error for outcome in outcomes)
        context = {
            "model": model,
            "many": many,
            "start": start,
            "fallback": self._engine.fallback(),
            "settings": self._settings,
            "results": outcomes,
            "together": together,
            "notice": notice,
            "csv_lines": lines,
            "csv": data_url(lines) if many else None,
            "recent": self._recent() if is_shown_whole() and not (many or has_errors) else (),
            "examples": examples_of(self._engine, self._settings).names() if start else (),
            "threshold": self._threshold(),
            "suggestions": suggestions(model),
            "why": request.args.get("why", type=int),
            "origin": origin(self._settings),
        }
        with self._lock:
            response = make_response(render_template("_rows.html" if is_part() else "index.html", **context))
        return with_page_headers(response)


def is_shown_whole() -> bool:
    """Return False if a script asks, which takes no more than the answer out of the page."""
    return request.headers.get("Sec-Fetch-Dest", "document") != "empty"


def is_part() -> bool:
    """Return whether static/site.js asks, which adds the rows of the page to a list."""
    return request.args.get("view") == "rows"


def with_page_headers(response: Response) -> Response:
    response.vary.update(("Cookie", "Sec-Fetch-Dest"))  # the recent photos, and the theme that the visitor chose
    response.cache_control.private = response.cache_control.no_cache = True
    return response


def json_parts(outcomes: Iterator[Outcome], model: str) -> Generator[str]:
    """Yield the parts of the JSON document of outcomes as they come."""
    yield f'{{"model": {json.dumps(model)}, "results": ['
    for number, outcome in enumerate(outcomes):
        yield (", " if number else "") + json.dumps(outcome.as_json())
    yield "]}\n"


def data_url(lines: Sequence[str]) -> str:
    """Return a CSV file as a link, which needs neither the script nor results that are kept.

    The byte order mark makes spreadsheets read UTF-8.
    """
    text = "\ufeff" + "".join(lines)
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(text.encode()).decode()


def origin(settings: Settings) -> str:
    """Return the scheme and host of the site, or a placeholder if nobody vouches for the host that the client sent."""
    return request.host_url.rstrip("/") if settings.trusted_hosts else UNKNOWN_ORIGIN


def suggestions(model: ModelInfo) -> list[str]:
    """Return the classes to choose from when correcting a result; none if they are too many."""
    return [label.name for label in model.labels] if len(model.labels) <= MAX_SUGGESTIONS else []
