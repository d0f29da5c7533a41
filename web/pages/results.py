"""The views of kept results: show one, explain it, delete it, give feedback; forget the recent ones."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from flask import Flask, Response, jsonify, make_response, redirect, request, url_for

from classifier.contract import Engine
from classifier.errors import Misunderstood
from classifier.photos.overlay import overlay
from classifier.storage.feedback import Feedback, Verdict
from classifier.storage.kept import KeptResults
from web.marks import changes, costly
from web.pages.outcome import Outcomes
from web.pages.recent import Recent
from web.pages.rendering import Rendering
from web.problems import prefers_json


class ResultViews:
    """The views below /results/<id> and /recent.

    `on_feedback` is called with whether the visitor found the result right.
    """

    def __init__(
        self,
        engine: Engine,
        uploads: KeptResults,
        feedback: Feedback,
        outcomes: Outcomes,
        recent: Recent,
        rendering: Rendering,
        on_feedback: Callable[[bool], None],
    ) -> None:
        self._engine = engine
        self._uploads = uploads
        self._feedback = feedback
        self._outcomes = outcomes
        self._recent = recent
        self._rendering = rendering
        self._on_feedback = on_feedback

    def add_to(self, app: Flask) -> None:
        app.add_url_rule("/results/<id>", view_func=self.result)
        app.add_url_rule("/results/<id>", view_func=self.delete, methods=["DELETE"])
        app.add_url_rule("/results/<id>/delete", view_func=self.delete_by_form, methods=["POST"])
        app.add_url_rule("/results/<id>/image", view_func=self.image)
        app.add_url_rule("/results/<id>/why", view_func=self.why)
        app.add_url_rule("/results/<id>/feedback", view_func=self.give_feedback, methods=["POST"])
        app.add_url_rule("/results/<id>/feedback/undo", view_func=self.undo_feedback, methods=["POST"])
        app.add_url_rule("/recent", view_func=self.recent)
        app.add_url_rule("/recent/forget", view_func=self.forget, methods=["POST"])

    def result(self, id: str) -> Response:
        outcome, model = self._outcomes.load(id)
        return self._rendering.outcomes([outcome], model)

    def image(self, id: str) -> Response:
        response = make_response(self._uploads.picture(id))
        response.mimetype = "image/jpeg"
        response.cache_control.no_store = True
        return response

    @costly
    def why(self, id: str) -> Response:
        """Show where the model saw a class: a PNG to lay over the picture, or the heat map's numbers."""
        index = request.args.get("class", -1, type=int)
        explanation = self._engine.explain(partial(self._uploads.picture, id), index)
        if prefers_json(request):
            return jsonify(index=index, size=explanation.size, box=explanation.box, heat=explanation.heat.tolist())
        response = make_response(overlay(explanation.heat, explanation.size, explanation.box))
        response.mimetype = "image/png"
        response.cache_control.private, response.cache_control.max_age = True, 3600
        return response

    @changes
    def delete(self, id: str) -> Response:
        self._feedback.delete(id)
        response = Response(status=204)
        self._recent.remove(response, id)
        return response

    @changes
    def delete_by_form(self, id: str) -> Response:
        """Delete a result by POST, because plain HTML forms cannot send DELETE."""
        self._feedback.delete(id)
        response = self._rendering.page(notice="The photo and its result were deleted.")
        self._recent.remove(response, id)
        return response

    def recent(self) -> Response:
        """List the visitor's recent results, as the answer to many photos does."""
        outcomes = self._recent.outcomes()
        if not outcomes:
            return make_response(redirect(url_for("home"), HTTPStatus.SEE_OTHER))
        return self._rendering.outcomes(outcomes, many=True)

    @changes
    def forget(self) -> Response:
        """Empty the visitor's list of recent photos; the results stay until they expire."""
        response = make_response(redirect(url_for("home"), HTTPStatus.SEE_OTHER))
        self._recent.forget(response)
        return response

    @changes
    def give_feedback(self, id: str) -> Response:
        """Keep the form's feedback on a result. `keep` allows keeping the photo longer."""
        outcome, model = self._outcomes.load(id)
        verdict = read_verdict(request.form, "" if outcome.familiar is False else outcome.predictions[0].label)
        feedback = self._feedback.give(id, verdict, may_be_kept="keep" in request.form)
        if not outcome.feedback and not verdict.bad_photo:
            self._on_feedback(verdict.right)
        return self._rendering.outcomes([replace(outcome, feedback=feedback)], model)

    @changes
    def undo_feedback(self, id: str) -> Response:
        """Forget what was said of a result, and a photo that was kept for it."""
        self._feedback.take_back(id)
        return self.result(id)


def read_verdict(form: Mapping[str, str], best: str) -> Verdict:
    """Return what a form says of an answer whose top class is `best`. Raises Misunderstood.

    `right` is yes or no, and `label` names what the photo shows. `label` alone is right if it is `best`. `bad_photo`
    is for a photo that shows nothing.
    """
    label, is_bad = form.get("label", ""), "bad_photo" in form
    right = form.get("right") or ("no" if is_bad else label and ("yes" if label == best else "no"))
    if right not in ("yes", "no"):
        raise Misunderstood('"right" must be "yes" or "no".')
    if is_bad:
        return Verdict("", right=False, bad_photo=True)
    return Verdict(best, right=True) if right == "yes" else Verdict(label, right=False)
