"""Feedback is kept as long as the photo, and longer only if the visitor permits it."""

import os

import pytest
from support.pictures import picture
from support.sites import post

from classifier.storage.feedback import Feedback, export, folder_name
from classifier.storage.kept import KeptResults


@pytest.fixture
def kept(client):
    return post(client, picture("lime"), json=True).json["results"][0]


@pytest.fixture
def feedback(settings):
    return Feedback(KeptResults(settings.uploads), settings.uploads, settings.keep_mb)


def say(client, kept, **form):
    return client.post(kept["url"] + "/feedback", data=form)


def again(client, kept):
    return client.get(kept["url"], headers={"Accept": "application/json"}).json["results"][0]


def test_yes_confirms_the_first_class(client, kept):
    page = say(client, kept, right="yes")
    assert page.status_code == 200
    assert "Thank you" in page.get_data(as_text=True)
    assert again(client, kept)["feedback"] == {"label": "Egyptian_cat", "right": True}


def test_no_has_a_label_in_the_visitors_words(client, kept):
    page = say(client, kept, right="no", label="  <b>my\ncat</b> ").get_data(as_text=True)
    assert "&lt;b&gt;my cat&lt;/b&gt;" in page
    assert again(client, kept)["feedback"] == {"label": "<b>my cat</b>", "right": False}


def test_feedback_is_asked_once_and_shown_afterwards(client, kept):
    assert "Was this right?" in client.get(kept["url"]).get_data(as_text=True)
    say(client, kept, right="yes")
    assert "Was this right?" not in client.get(kept["url"]).get_data(as_text=True)


@pytest.mark.parametrize(
    ("form", "feedback"),
    [
        ({"label": "Egyptian_cat"}, {"label": "Egyptian_cat", "right": True}),
        ({"label": "red_fox"}, {"label": "red_fox", "right": False}),
        ({"bad_photo": "on", "label": ""}, {"label": "", "right": False, "bad_photo": True}),
        ({"right": "yes", "keep": "on"}, {"label": "Egyptian_cat", "right": True, "kept": True}),
    ],
    ids=["the top class", "another class", "a bad photo", "with permission"],
)
def test_one_tap_is_enough(client, kept, form, feedback):
    assert "Thank you" in say(client, kept, **form).text
    assert again(client, kept)["feedback"] == feedback


def test_undo_forgets_the_verdict_and_the_photo_that_was_allowed(client, kept, feedback):
    say(client, kept, label="red_fox", keep="on")
    undone = client.post(kept["url"] + "/feedback/undo")
    assert "Was this right?" in undone.text
    assert "feedback" not in again(client, kept)
    assert list(feedback.labelled()) == []
    assert client.post("/results/" + 32 * "0" + "/feedback/undo").status_code == 404


def test_a_result_counts_once_however_often_a_visitor_changes_the_verdict(client, kept):
    for form in ({"right": "yes"}, {"right": "yes", "keep": "on"}, {"bad_photo": "on"}):
        say(client, kept, **form)
    assert 'classifier_feedback_total{right="yes"} 1.0' in client.get("/metrics").text


def test_feedback_does_not_make_a_result_last_longer(client, kept, settings):
    for path in settings.uploads.iterdir():
        os.utime(path, (0, 0))
    in_1970 = KeptResults(settings.uploads, clock=lambda: 3600)
    in_1970.amend(kept["id"], {"feedback": {"label": "cat", "right": True}})
    assert in_1970.answer(kept["id"])["feedback"]["right"]
    assert client.get(kept["url"]).status_code == 404


def test_only_what_may_be_kept_outlives_the_result(client, kept, settings, feedback):
    say(client, kept, right="no", label="lion")
    assert not (settings.uploads / "feedback").exists()
    say(client, kept, right="no", label="lion", keep="on")
    KeptResults(settings.uploads).delete(kept["id"])  # as if it had expired
    assert [label for _, label, _ in feedback.labelled()] == ["lion"]


def test_deleting_deletes_what_was_allowed_too(client, kept, settings, feedback):
    say(client, kept, right="yes", keep="on")
    client.delete(kept["url"])
    assert list(feedback.labelled()) == []
    assert not [path for path in settings.uploads.rglob("*.j*") if path.is_file()]


def test_an_unknown_result_is_404(client):
    assert client.post("/results/" + 32 * "0" + "/feedback", data={"right": "yes"}).status_code == 404


def test_export_makes_a_folder_of_classes_that_train_reads(client, settings, feedback, tmp_path):
    from classifier.dataset import layout

    for colour, form in (("red", {"right": "yes"}), ("lime", {"right": "no", "label": "my cat"}), ("blue", {})):
        result = post(client, picture(colour), json=True).json["results"][0]
        say(client, result, **form)
    assert export(feedback, tmp_path / "out") == 2
    found = layout.find(tmp_path / "out")
    classes, photos = found.classes, found.photos
    assert classes == ["my cat", "red_fox"]
    assert len(photos) == 2


def test_a_photo_that_is_kept_twice_is_exported_once(client, kept, feedback, tmp_path):
    say(client, kept, right="yes", keep="on")
    assert export(feedback, tmp_path / "out") == 1


@pytest.mark.parametrize(
    ("label", "name"), [("../../etc", "_.._etc"), ("a/b", "a_b"), ("...", "_"), ("", "_"), ("my cat", "my cat")]
)
def test_a_label_never_leads_out_of_the_folder(label, name):
    assert folder_name(label) == name


@pytest.mark.parametrize("form", [{}, {"right": "maybe"}, {"label": ""}, {"right": "maybe", "bad_photo": "on"}])
def test_neither_yes_nor_no_is_nothing(client, kept, form):
    refused = say(client, kept, **form)
    assert refused.status_code == 400
    assert "must be &#34;yes&#34; or &#34;no&#34;" in refused.text
    assert "feedback" not in again(client, kept)
