"""Marks on views: who may see them, from where, and which count towards the rate. `web.ops.access` reads them."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app, request

View = TypeVar("View", bound=Callable[..., Any])


class Mark:
    """A decorator for views that remembers which views it decorates."""

    def __init__(self) -> None:
        self._views: set[object] = set()

    def __call__(self, view: View) -> View:
        self._views.add(view)
        return view

    def is_on_requested_view(self) -> bool:
        view = current_app.view_functions.get(request.endpoint or "")
        return getattr(view, "__func__", view) in self._views


public = Mark()  # needs no token
operators_only = Mark()  # needs the token or an address in CLASSIFIER_METRICS_FROM
changes = Mark()  # changes what is kept for the visitor: refused if the page of another site asks for it
costly = Mark()  # counts towards CLASSIFIER_RATE even if the method is GET
