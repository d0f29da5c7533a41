"""A broader term that is sure where the best class is not, and one answer for several photos of one thing."""

import base64
import csv
import io
import json
from html import unescape

import pytest
from support.models import TERMS, ToyModel
from support.pictures import picture
from support.sites import post

from app import create_app
from classifier.prediction import output
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings

JSON = {"Accept": "application/json"}
SENTENCE = "The image you uploaded is a"
SURELY = "Surely a mammal (97%)"
BETWEEN, BARE, CLEAR = picture("#808007"), picture("grey"), picture("red")  # two classes; all of them; one


@pytest.fixture(scope="module")
def engine():
    engine = LocalEngine(ToyModel(terms=TERMS))
    yield engine
    engine.close()


@pytest.fixture
def make_site(engine, tmp_path):
    """Clients of a site whose model has broader terms and no threshold; keyword arguments are settings."""

    def make(**changes):
        settings = Settings(**{"uploads": tmp_path / "uploads"} | changes)
        return create_app(engine, settings, KeptResults(settings.uploads, settings.keep_hours)).test_client()

    return make


@pytest.fixture
def site(make_site):
    return make_site()


def page(response) -> str:
    return unescape(response.get_data(as_text=True))


def sent(client, *photos, json=True, **fields):
    files = {"fileImage": [(io.BytesIO(photo), f"{number}.png") for number, photo in enumerate(photos)]}
    response = client.post("/", data=files | fields, headers=JSON if json else {})
    return response.json if json else page(response)


def test_the_line_stands_below_the_sentence(site):
    text = page(post(site, BETWEEN))
    assert SENTENCE in text
    assert text.index(SENTENCE) < text.index(SURELY)


@pytest.mark.parametrize(
    ("photo", "sure", "label"), [(CLEAR, True, None), (BETWEEN, False, "mammal"), (BARE, False, "mammal")]
)
def test_json_has_what_is_sure(site, photo, sure, label):
    (result,) = sent(site, photo)["results"]
    assert result["sure"] is sure
    assert result.get("broader", {}).get("label") == label
    if label:
        both = sum(best["score"] for best in result["predictions"] if best["index"] in (0, 1))
        assert result["broader"] == {"wnid": "n01861778", "label": label, "score": pytest.approx(both)}


def test_csv_has_it(site):
    clear, between = (
        next(csv.DictReader(io.StringIO(site.get(result["url"], headers={"Accept": "text/csv"}).text)))
        for result in sent(site, CLEAR, BETWEEN)["results"]
    )
    assert (clear["sure"], clear["broader"], clear["broader_score"]) == ("true", "", "")
    assert (between["sure"], between["broader"]) == ("false", "mammal")
    assert float(between["broader_score"]) == pytest.approx(0.97, abs=0.01)


def test_a_name_that_is_sure_by_itself_has_no_line(site):
    text = page(post(site, CLEAR))
    assert "Surely" not in text
    assert "Not sure" not in text


def test_not_sure_is_a_line_as_well(engine, tmp_path):
    alien = LocalEngine(ToyModel(terms=type(TERMS)((TERMS.terms[1],))))
    client = create_app(alien, Settings(uploads=tmp_path), KeptResults(tmp_path)).test_client()
    text = page(post(client, picture("#808000")))
    (result,) = sent(client, picture("#808000"))["results"]
    alien.close()
    assert result["sure"] is False
    assert "broader" not in result
    assert text.index(SENTENCE) < text.index("Not sure")


def test_a_kept_result_keeps_its_line(site, make_site):
    (result,) = sent(site, BETWEEN)["results"]
    for client in (site, make_site(threshold=0.0)):
        (again,) = client.get(result["url"], headers=JSON).json["results"]
        assert (again["sure"], again["broader"]) == (False, result["broader"])
        text = page(client.get(result["url"]))
        assert SURELY in text
        assert SENTENCE in text


def test_a_result_of_before_is_as_it_was(make_site, tmp_path):
    kept = KeptResults(tmp_path / "uploads")
    predictions = [{"index": 0, "wnid": "", "label": "red_fox", "score": 0.4}]
    ids = [kept.keep(CLEAR, {"model": "toy", "predictions": predictions, "sure": sure}) for sure in (None, True, False)]
    pages = [page(make_site().get(f"/results/{id}")) for id in ids]
    assert ["Not sure what the image you uploaded is" in text for text in pages] == [False, False, True]


def test_a_threshold_keeps_its_meaning(make_site):
    assert "broader" not in sent(make_site(threshold=0.0), BETWEEN)["results"][0]
    assert "sure" not in sent(make_site(threshold=0.0), BETWEEN)["results"][0]
    assert sent(make_site(threshold=0.4), BETWEEN)["results"][0]["sure"] is True
    text = page(post(make_site(threshold=0.9), BETWEEN))
    assert "Not sure what the image you uploaded is" in text
    assert SURELY in text
    assert SENTENCE not in text
    assert "broader" not in sent(make_site(threshold=0.99), BETWEEN)["results"][0]


def test_the_protocol_has_it_as_parameters(site):
    body = {
        "inputs": [
            {"name": "images", "datatype": "BYTES", "shape": [2], "data": [in_base64(CLEAR), in_base64(BETWEEN)]}
        ]
    }
    response = site.post("/v2/models/toy/infer", json=body).json
    assert response["parameters"] == {
        "sure_0": True,
        "sure_1": False,
        "broader_1": "mammal",
        "broader_wnid_1": "n01861778",
        "broader_score_1": pytest.approx(0.97, abs=0.01),
    }


def in_base64(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


def test_rows_have_it(engine, tmp_path):
    for name, photo in (("1.png", CLEAR), ("2.png", BETWEEN)):
        (tmp_path / name).write_bytes(photo)
    files = sorted(tmp_path.iterdir())
    texts = {}
    for format in ("csv", "json", "table"):
        out = io.StringIO()
        assert output.run(engine, files, format, 3, out) == 0
        texts[format] = out.getvalue()
    clear, between = csv.DictReader(io.StringIO(texts["csv"]))
    assert (clear["sure"], clear["broader"], clear["broader_score"]) == ("True", "", "")
    assert (between["sure"], between["broader"]) == ("False", "mammal")
    assert float(between["broader_score"]) == pytest.approx(0.97, abs=0.01)
    clear, between = map(json.loads, texts["json"].splitlines())
    assert "broader" not in clear
    assert between["broader"]["label"] == "mammal"
    assert "mammal, perhaps " in texts["table"]


def test_together_they_have_one_answer(site):
    document = sent(site, picture("#ff6000"), picture("#ff0060"), together="1")
    single = [result["predictions"][0]["score"] for result in document["results"]]
    together = document["together"]
    assert together["predictions"][0]["label"] == "red_fox"
    assert together["predictions"][0]["score"] > max(single)
    assert sum(best["score"] for best in together["predictions"]) == pytest.approx(1)
    assert together["sure"] is True


def test_together_is_what_was_asked_for(site):
    assert "together" not in sent(site, CLEAR, BETWEEN)
    assert "together" not in sent(site, CLEAR, BETWEEN, together="0")
    refused = sent(site, CLEAR, BETWEEN, together="yes")
    assert (refused["status"], '"together" must be 1' in refused["detail"]) == (400, True)


def test_together_may_be_sure_of_a_broader_term_only(site):
    together = sent(site, BETWEEN, BETWEEN, together="1")["together"]
    assert together["sure"] is False
    assert together["broader"]["label"] == "mammal"
    text = sent(site, BETWEEN, BETWEEN, json=False, together="1")
    assert text.index("Together, the photos show a red fox") < text.index(SENTENCE)
    assert text.count("Surely a mammal") == 3


def test_photos_that_cannot_be_answered_are_left_out(site):
    document = sent(site, CLEAR, b"no photo", together="1")
    assert document["together"]["predictions"][0]["label"] == "red_fox"
    assert [("error" in result) for result in document["results"]] == [False, True]
    alone = sent(site, CLEAR, together="1")
    assert alone["together"]["predictions"][0]["score"] == pytest.approx(
        document["together"]["predictions"][0]["score"], rel=1e-6
    )
    assert "together" not in sent(site, b"no photo", b"nor this", together="1")


def test_together_lists_as_many_classes_as_any_answer(make_site):
    assert len(sent(make_site(top=2), CLEAR, BETWEEN, together="1")["together"]["predictions"]) == 2


def test_the_box_is_there_only_if_a_request_may_hold_several(make_site):
    box = 'type="checkbox" name="together" value="1"'
    assert box in page(make_site().get("/"))
    assert box not in page(make_site(max_files=1).get("/"))
