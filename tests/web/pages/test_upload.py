"""Upload: the form, the page and the JSON that answer it."""

import io
import re

import pytest
from PIL import Image
from support.models import ToyModel
from support.pictures import encoded, picture
from support.sites import SpyingEngine, post

from app import create_app
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults

SENTENCE = "The image you uploaded is an Egyptian cat (99.22%)"


def page(response) -> str:
    return response.get_data(as_text=True)


def test_the_home_page_has_the_form(client):
    response = client.get("/")
    assert response.status_code == 200
    assert re.search(r'<form[^>]*method="post"[^>]*enctype="multipart/form-data"', page(response))
    assert re.search(r'<input[^>]*name="fileImage"[^>]*multiple', page(response))
    assert "What is it?</button>" in page(response)
    assert "toy</strong> on CPU" in page(response)


def test_a_photo_gets_the_sentence_its_picture_and_the_bars(client):
    html = page(post(client, picture("lime")))
    assert SENTENCE in html
    assert re.search(r'<img[^>]*src="/results/[0-9a-f]{32}/image"', html)
    assert [
        float(value) for value in re.findall(r'<progress aria-labelledby[^>]*value="([^"]+)"', html)
    ] == pytest.approx([256 / 258, 1 / 258, 1 / 258])


def test_the_script_gets_one_row_and_nothing_else(client):
    for content, words in ((picture("lime"), SENTENCE), (b"x", "This file is not an image")):
        html = page(client.post("/?view=rows", data={"fileImage": (io.BytesIO(content), "a.png")})).strip()
        assert words in html
        assert html.startswith('<tr class="tile')
        assert html.endswith("</tr>")
        assert html.count("<tr") == 1


def test_json_has_the_shape_of_the_contract(client):
    document = post(client, (picture("lime"), "cat.jpg"), json=True).json
    (result,) = document["results"]
    assert document["model"] == "toy"
    assert list(result) == ["filename", "id", "url", "predictions"]
    assert result["filename"] == "cat.jpg"
    assert re.fullmatch("[0-9a-f]{32}", result["id"])
    assert result["url"] == f"/results/{result['id']}"
    best = result["predictions"][0]
    assert best == {
        "index": 1, "wnid": "n00000001", "label": "Egyptian_cat", "score": pytest.approx(256 / 258)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        ("*/*", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("application/json", True),
        ("application/json, text/plain, */*", True),
        ("application/json, */*", True),
        ("application/json; charset=utf-8", True),
        ("image/png", False),
        ("", False),
        ("application/problem+json", True),
        ("application/json;q=0.5, text/html", False),
        ("text/html;q=0.5, application/json", True),
    ],
)
def test_json_is_answered_when_accept_prefers_it(client, accept, is_json):
    data = {"fileImage": (io.BytesIO(picture()), "a.png")}
    response = client.post("/", data=data, headers={"Accept": accept})
    assert response.is_json == is_json
    assert "Accept" in response.headers["Vary"]


def test_several_photos_are_answered_in_order(client):
    document = post(client, *(picture(colour) for colour in ("blue", "red", "lime", "red")), json=True).json
    assert [result["predictions"][0]["index"] for result in document["results"]] == [2, 0, 1, 0]


def test_a_bad_file_among_good_ones_has_its_error_in_its_place(client):
    response = post(client, picture("blue"), (b"no image", "notes.txt"), picture("red"), json=True)
    assert response.status_code == 200
    first, second, third = response.json["results"]
    assert first["predictions"][0]["label"] == "blue_jay"
    assert third["predictions"][0]["label"] == "red_fox"
    assert second["filename"] == "notes.txt"
    assert second["error"]["status"] == 415
    assert second["error"]["title"] == "Unsupported Media Type"
    assert set(second) == {"filename", "error"}
    html = page(post(client, picture("lime"), (b"no image", "notes.txt")))
    assert SENTENCE in html
    assert re.search(r"notes.txt</bdi>.*This file is not an image", html, re.S)


def test_when_all_files_fail_the_first_error_is_the_status(client):
    response = post(client, (b"no image", "a"), (b"", "b"), json=True)
    assert response.status_code == 415
    assert response.mimetype == "application/problem+json"
    assert [result["error"]["status"] for result in response.json["results"]] == [415, 400]


def test_top_limits_how_many_classes_are_listed(make_client):
    assert len(post(make_client(top=2), picture(), json=True).json["results"][0]["predictions"]) == 2


def test_resize_decides_what_the_model_sees(make_client):
    sides = Image.new("RGB", (900, 300), "red")
    sides.paste("blue", (300, 0, 600, 300))
    answers = [
        post(make_client(resize=resize), encoded(sides), json=True).json["results"][0]["predictions"][0]["label"]
        for resize in ("crop", "stretch")
    ]
    assert answers == ["blue_jay", "red_fox"]


def test_the_page_shrinks_photos_only_for_a_model_that_crops(settings):
    """The model's own resize counts, not the setting: what is stretched must arrive as it was taken."""
    for resize, shrinks in (("crop", True), ("stretch", False)):
        engine = LocalEngine(ToyModel(resize=resize))
        page = create_app(engine, settings, KeptResults(settings.uploads)).test_client().get("/").text
        engine.close()
        assert ("data-shorter" in page) == shrinks


def refused(client, query: str = ""):
    data = {"fileImage": (io.BytesIO(picture("lime")), "a.png")}
    response = client.post(f"/{query}", data=data)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert "Cookie" in response.vary
    assert "please try again shortly" in page(response)
    return page(response)


def test_a_busy_site_refuses_every_visitor_with_a_page_in_their_theme(client):
    client.application.extensions["engine"].close()
    assert "data-theme" not in refused(client)
    for theme in ("light", "dark", "light"):
        client.set_cookie("theme", theme)
        for _ in range(2):
            assert f'data-theme="{theme}"' in refused(client)


def test_rows_of_refused_photos_have_names_of_their_own(client):
    client.application.extensions["engine"].close()
    names = [name for _ in range(2) for name in re.findall(r'id="(row-[^"]+)"', refused(client, query="?view=rows"))]
    assert len(set(names)) == len(names) == 2


def test_the_sentence_of_a_refusal_is_its_own(settings):
    engine = SpyingEngine()
    uploads = KeptResults(settings.uploads, settings.keep_hours, settings.keep_mb)
    client = create_app(engine, settings, uploads).test_client()
    engine.refusals = 1
    assert "More photos are waiting" in refused(client)
    engine.close()
    assert "is being restarted" in refused(client)
