"""What the site says of a photo that is unlike the model's own, and the training photos that it is most like."""

import csv
import io
import json
from html import unescape

import pytest
from support.models import SIMILAR, TERMS, ComparingModel
from support.pictures import picture
from support.sites import post

from app import create_app
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings

NONE = "This does not look like any of the 3 things this model knows"
STRANGE, OWN = picture("#404041"), picture("red")
NAMES = [photo.thumbnail for photo in SIMILAR if photo.thumbnail]


@pytest.fixture
def folder(tmp_path):
    """A model folder, of which the site reads only the thumbnails."""
    (tmp_path / "model" / "thumbnails").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "model" / "thumbnails" / name).write_bytes(picture(format="JPEG"))
    for name in ("model.json", "thumbnails/notes.jpg", f"{'a' * 16}.jpg"):
        (tmp_path / "model" / name).write_text("secret")
    return tmp_path / "model"


@pytest.fixture
def make_site(folder, tmp_path):
    """Clients of a site with a model that compares; keyword arguments are properties of the model."""
    engines = []

    def make(**changes):
        engines.append(LocalEngine(ComparingModel(**changes)))
        settings = Settings(uploads=tmp_path / "uploads", model=str(folder))
        return create_app(engines[-1], settings, KeptResults(settings.uploads)).test_client()

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def site(make_site):
    return make_site()


def page(response) -> str:
    return unescape(response.get_data(as_text=True))


def answered(site, photo):
    return post(site, photo, json=True).json["results"][0]


def test_json_has_whether_a_photo_is_familiar_and_how_much(site):
    own, strange = answered(site, OWN), answered(site, STRANGE)
    assert (own["familiar"], strange["familiar"]) == (True, False)
    assert strange["familiarity"] < 0.5 <= own["familiarity"] <= 1
    assert strange["predictions"][0]["label"] == "blue_jay"
    assert site.get(strange["url"], headers={"Accept": "application/json"}).json["results"][0] == {
        **strange, "filename": None,
    }  # fmt: skip


def test_the_page_says_none_of_these_in_place_of_the_sentence_and_shows_what_comes_nearest(site):
    shown = page(post(site, STRANGE))
    assert NONE in shown
    assert "The image you uploaded is" not in shown
    assert "blue jay" in shown
    assert "<title>None of these " in shown
    assert NONE in page(site.get(answered(site, STRANGE)["url"]))


def test_the_page_names_a_familiar_photo_as_ever(site):
    assert "The image you uploaded is a red fox (" in page(post(site, OWN))


def test_none_of_these_comes_before_not_sure(make_site):
    shown = page(post(make_site(threshold=0.99), STRANGE))
    assert NONE in shown
    assert "Not sure" not in shown


def test_a_model_that_does_not_judge_says_nothing_but_has_similar_photos(make_site):
    site = make_site(judges=False)
    result = answered(site, STRANGE)
    assert not {"familiar", "familiarity"} & result.keys()
    assert "The image you uploaded is a blue jay (" in page(post(site, STRANGE))
    assert len(site.get(f"{result['url']}/similar").json["similar"]) == len(SIMILAR)


def test_a_result_keeps_how_many_things_the_model_knew(site, make_client):
    url = answered(site, STRANGE)["url"]
    assert NONE in page(make_client().get(url))


def test_similar_photos_are_listed_with_their_thumbnails(site):
    response = site.get(f"{answered(site, OWN)['url']}/similar")
    assert response.json == {
        "similar": [
            {"label": "Egyptian_cat", "similarity": 0.875, "thumbnail": f"/thumbnails/{NAMES[0]}"},
            {"label": "red_fox", "similarity": 0.25, "thumbnail": f"/thumbnails/{NAMES[1]}"},
            {"label": "blue_jay", "similarity": 0.125, "thumbnail": None},
        ]
    }
    thumbnail = site.get(response.json["similar"][0]["thumbnail"])
    assert thumbnail.data == picture(format="JPEG")
    assert thumbnail.mimetype == "image/jpeg"
    assert thumbnail.cache_control.private
    assert not thumbnail.cache_control.public
    assert thumbnail.cache_control.max_age == 86_400


def test_the_page_shows_the_similar_photos_that_have_thumbnails(site):
    shown = page(post(site, OWN))
    assert "Photos most like this one" in shown
    assert all(f"/thumbnails/{name}" in shown for name in NAMES)
    assert shown.count("/thumbnails/") == len(NAMES)
    assert "Egyptian cat<" in shown


def test_other_models_have_no_similar_photos_and_a_sentence_says_so(client):
    url = answered(client, OWN)["url"]
    response = client.get(f"{url}/similar", headers={"Accept": "application/json"})
    assert response.status_code == 404
    assert response.json["detail"].startswith("This result has no similar photos: ")
    assert "Photos most like this one" not in page(post(client, OWN))
    assert client.get(f"/results/{'0' * 32}/similar").status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "notes.jpg",
        f"{'a' * 16}.jpg",
        f"{'b' * 16}.jpg",
        "..%2fmodel.json",
        "../model.json",
        f"..%2f{'a' * 16}.jpg",
        f"{NAMES[0]}%00",
        f"{NAMES[0]}%0a",
        f"./{NAMES[0]}",
        NAMES[0].upper(),
        "",
    ],
)
def test_nothing_but_thumbnails_is_served(site, name):
    response = site.get(f"/thumbnails/{name}")
    assert response.status_code == 404
    assert b"secret" not in response.data


def test_yes_to_none_of_these_names_no_class(site, tmp_path):
    for photo, label in ((STRANGE, ""), (OWN, "red_fox")):
        url = answered(site, photo)["url"]
        site.post(f"{url}/feedback", data={"right": "yes"})
        kept = json.loads((tmp_path / "uploads" / f"{url.rpartition('/')[2]}.json").read_text())
        assert kept["feedback"] == {"label": label, "right": True}


def test_the_open_inference_protocol_has_it_as_parameters(site):
    pixels = [[[[64, 64, 65]] * 224] * 224, [[[255, 0, 0]] * 224] * 224]
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [2, 224, 224, 3], "data": pixels}
    body = site.post("/v2/models/toy/infer", json={"inputs": [tensor]}).json
    assert (body["parameters"]["familiar_0"], body["parameters"]["familiar_1"]) == (False, True)
    assert body["parameters"]["familiarity_0"] < 0.5 <= body["parameters"]["familiarity_1"]
    assert list(body["parameters"]) == ["familiar_0", "familiarity_0", "familiar_1", "familiarity_1"]


def test_the_open_inference_protocol_has_no_parameters_without_it(client):
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, 224, 224, 3], "data": [0] * (224 * 224 * 3)}
    assert "parameters" not in client.post("/v2/models/toy/infer", json={"inputs": [tensor]}).json


def test_together_is_none_of_these_only_if_no_photo_is_familiar(site):
    def together(*photos, accept):
        files = [(io.BytesIO(photo), "photo.png") for photo in photos]
        return site.post("/", data={"fileImage": files, "together": "1"}, headers={"Accept": accept})

    assert together(STRANGE, OWN, accept="application/json").json["together"]["familiar"] is True
    assert together(STRANGE, STRANGE, accept="application/json").json["together"]["familiar"] is False
    assert page(together(STRANGE, STRANGE, accept="text/html")).count(NONE) == 3
    assert "Together, the photos show a red fox" in page(together(OWN, OWN, accept="text/html"))


def test_a_stranger_has_no_broader_term(make_site):
    site = make_site(terms=TERMS)
    for photo, familiar, broader in (("#808000", True, True), ("#404040", False, False)):
        result = answered(site, picture(photo))
        assert (result["familiar"], "broader" in result) == (familiar, broader)
    assert "Surely" not in page(post(site, picture("#404040")))


def test_csv_has_whether_a_photo_is_familiar(site):
    for photo, familiar in ((STRANGE, "false"), (OWN, "true")):
        data = {"fileImage": (io.BytesIO(photo), "photo.png")}
        (row,) = csv.DictReader(io.StringIO(site.post("/", data=data, headers={"Accept": "text/csv"}).text))
        assert row["familiar"] == familiar
