"""What can be done with a kept result: see it again, ask why, delete it."""

from dataclasses import replace
from functools import partial

from flask import Flask, Response, jsonify, make_response, request

from classifier.contract import Engine
from classifier.errors import Misunderstood
from classifier.photos.overlay import overlay
from classifier.storage.feedback import Feedback
from classifier.storage.kept import KeptResults
from web.pages.outcome import Outcomes
from web.pages.rendering import Rendering
from web.problems import wants_json


class ResultViews:
    """The views below /results/<id>."""

    def __init__(
        self, engine: Engine, uploads: KeptResults, feedback: Feedback, answers: Outcomes, rendering: Rendering
    ) -> None:
        self._engine = engine
        self._uploads = uploads
        self._feedback = feedback
        self._answers = answers
        self._rendering = rendering

    def add_to(self, app: Flask) -> None:
        app.add_url_rule("/results/<id>", view_func=self.result)
        app.add_url_rule("/results/<id>", view_func=self.delete, methods=["DELETE"])
        app.add_url_rule("/results/<id>/delete", view_func=self.delete_by_form, methods=["POST"])
        app.add_url_rule("/results/<id>/image", view_func=self.image)
        app.add_url_rule("/results/<id>/why", view_func=self.why)
        app.add_url_rule("/results/<id>/feedback", view_func=self.give_feedback, methods=["POST"])

    def result(self, id: str) -> Response:
        kept, model = self._answers.kept(id)
        return self._rendering.answered([kept], model)

    def image(self, id: str) -> Response:
        response = make_response(self._uploads.picture(id))
        response.mimetype = "image/jpeg"
        response.cache_control.no_store = True
        return response

    def why(self, id: str) -> Response:
        """Where a class was seen: a PNG to lay over the picture, or the heat map's numbers."""
        index = request.args.get("class", -1, type=int)
        explanation = self._engine.explain(partial(self._uploads.picture, id), index)
        if wants_json(request):
            return jsonify(index=index, size=explanation.size, box=explanation.box, heat=explanation.heat.tolist())
        response = make_response(overlay(explanation.heat, explanation.size, explanation.box))
        response.mimetype = "image/png"
        response.cache_control.private, response.cache_control.max_age = True, 3600
        return response

    def delete(self, id: str) -> Response:
        self._feedback.delete(id)
        return Response(status=204)

    def delete_by_form(self, id: str) -> Response:
        """Plain HTML forms cannot send DELETE."""
        self._feedback.delete(id)
        return self._rendering.page(notice="The photo and its answer were deleted.")

    def give_feedback(self, id: str) -> Response:
        """Was this right? `right` is yes or no, `label` what it is, `keep` that the photo may be kept."""
        kept, model = self._answers.kept(id)
        if request.form.get("right") not in ("yes", "no"):
            raise Misunderstood('Was this right? The field "right" has to be yes or no.')
        right = request.form["right"] == "yes"
        label = kept.predictions[0].label if right else request.form.get("label", "")
        said = self._feedback.give(id, label, right, may_be_kept="keep" in request.form)
        return self._rendering.answered([replace(kept, feedback=said)], model)
