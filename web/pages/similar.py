"""The training photos that are most like a photo: their list, and their thumbnails in the model folder."""

import re
from io import BytesIO
from typing import Any

from flask import Flask, Response, jsonify, send_file, url_for

from classifier.contract import Engine, SimilarPhoto
from classifier.errors import ResultNotFound
from web.pages.examples import model_folder
from web.pages.outcome import Outcomes
from web.settings import Settings

NAME = re.compile(r"[0-9a-f]{16}\.jpg")
CACHED_S = 86_400  # a name belongs to one picture for good
NONE = "This result has no similar photos: its model was not trained here, or before these were kept with it."


class SimilarViews:
    """The views of similar photos and of thumbnails."""

    def __init__(self, engine: Engine, settings: Settings, outcomes: Outcomes) -> None:
        self._engine = engine
        self._settings = settings
        self._outcomes = outcomes

    def add_to(self, app: Flask) -> None:
        app.add_url_rule("/results/<id>/similar", view_func=self.similar)
        app.add_url_rule("/thumbnails/<name>", view_func=self.thumbnail)

    def similar(self, id: str) -> Response:
        outcome, _ = self._outcomes.load(id)
        if not outcome.similar:
            raise ResultNotFound(NONE)
        response = jsonify(similar=[as_json(photo) for photo in outcome.similar])
        response.cache_control.no_store = True
        return response

    def thumbnail(self, name: str) -> Response:
        """Send the small picture of a training photo, whose name nobody can guess."""
        path = model_folder(self._engine, self._settings) / "thumbnails" / name
        if not (NAME.fullmatch(name) and path.is_file()):
            raise ResultNotFound("There is no thumbnail of this name; /results/<id>/similar lists those of a result.")
        response = send_file(BytesIO(path.read_bytes()), "image/jpeg", max_age=CACHED_S)
        response.cache_control.public, response.cache_control.private = False, True
        return response


def as_json(photo: SimilarPhoto) -> dict[str, Any]:
    """Return a similar photo with the address of its thumbnail, None without one."""
    address = url_for("thumbnail", name=photo.thumbnail) if photo.thumbnail else None
    return photo._asdict() | {"thumbnail": address}
