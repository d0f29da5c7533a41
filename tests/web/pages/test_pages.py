"""The site's contract: pages, JSON, results that stay and go, headers."""

import base64
import io
import json
import re
from dataclasses import replace

import pytest
from PIL import Image
from support.pictures import encoded, picture, textured
from support.sites import post

SENTENCE = "The image you uploaded is an Egyptian cat (99.22%)"


def page(response) -> str:
    return response.get_data(as_text=True)


def test_the_home_page_has_the_form(client):
    response = client.get("/")
    assert response.status_code == 200
    assert re.search(r'<form[^>]*method="post"[^>]*enctype="multipart/form-data"', page(response))
    assert re.search(r'<input[^>]*name="fileImage"[^>]*multiple', page(response))
    assert "Predict</button>" in page(response)
    assert "toy</strong> on CPU" in page(response)


def test_a_photo_gets_the_sentence_its_picture_and_the_bars(client):
    html = page(post(client, picture("lime")))
    assert SENTENCE in html
    assert re.search(r'<img[^>]*src="/results/[0-9a-f]{32}/image"', html)
    assert [
        float(value) for value in re.findall(r'<progress aria-labelledby[^>]*value="([^"]+)"', html)
    ] == pytest.approx([256 / 258, 1 / 258, 1 / 258])


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
    assert "notes.txt</bdi>: This file is not an image" in html


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


def test_a_result_stays_under_its_address(client):
    posted = post(client, picture("lime"), json=True).json["results"][0]
    again = client.get(posted["url"], headers={"Accept": "application/json"}).json
    assert again["model"] == "toy"
    assert again["results"][0] == {**posted, "filename": None}
    assert SENTENCE in page(client.get(posted["url"]))
    image = client.get(posted["url"] + "/image")
    assert image.mimetype == "image/jpeg"
    assert image.headers["X-Content-Type-Options"] == "nosniff"
    assert Image.open(io.BytesIO(image.data)).getpixel((10, 10)) == pytest.approx((0, 255, 0), abs=3)


@pytest.mark.parametrize("by_form", [False, True])
def test_deleting_a_result_removes_all_of_it(client, settings, by_form):
    url = post(client, picture(), json=True).json["results"][0]["url"]
    response = client.post(url + "/delete") if by_form else client.delete(url)
    assert response.status_code == (200 if by_form else 204)
    assert list(settings.uploads.iterdir()) == []
    for gone in (client.get(url), client.get(url + "/image"), client.delete(url)):
        assert gone.status_code == 404


def test_nothing_that_was_sent_reaches_the_disk_as_it_was(client, settings):
    sent = encoded(textured((2000, 1500)), "JPEG", comment=b"who took it and where")
    post(client, (sent, "holiday at home.jpg"))
    kept = sorted(settings.uploads.iterdir())
    assert [path.suffix for path in kept] == [".jpg", ".json"]
    with Image.open(kept[0]) as image:
        assert max(image.size) <= 1024
    for path in kept:
        assert re.fullmatch(r"[0-9a-f]{32}\.\w+", path.name)
        assert b"who took it" not in path.read_bytes()
        assert b"holiday" not in path.read_bytes()
        assert sent not in path.read_bytes()


def test_with_keep_hours_0_nothing_is_written_and_the_page_shows_the_picture(make_client, settings):
    client = make_client(keep_hours=0)
    html = page(post(client, picture("lime")))
    assert SENTENCE in html
    (embedded,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    assert Image.open(io.BytesIO(base64.b64decode(embedded))).size == (320, 240)
    result = post(client, picture(), json=True).json["results"][0]
    assert result["id"] is None
    assert result["url"] is None
    assert not settings.uploads.exists()


def test_when_keeping_fails_the_answer_is_still_given_saying_so(make_client, tmp_path):
    (tmp_path / "a file").touch()
    client = make_client(uploads=tmp_path / "a file" / "uploads")
    response = post(client, picture("lime"))
    assert response.status_code == 200
    assert SENTENCE in page(response)
    assert "could not be kept" in page(response)
    assert "data:image/jpeg" in page(response)
    assert "could not be kept" in post(client, picture(), json=True).json["results"][0]["notice"]


def test_random_weights_are_announced_on_every_page(make_client, monkeypatch):
    from support.models import ToyModel

    assert "answers mean nothing" not in page(make_client().get("/"))
    monkeypatch.setattr(ToyModel, "info", replace(ToyModel.info, is_random=True))
    client = make_client()
    url = post(client, picture(), json=True).json["results"][0]["url"]
    for response in (client.get("/"), post(client, picture()), client.get(url), client.get("/nowhere"), post(client)):
        assert "answers mean nothing" in page(response)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/site.css", "/results/" + "0" * 32])
def test_every_answer_has_the_security_headers(client, path):
    with client.get(path) as response:
        headers = response.headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_pages_need_no_inline_style_or_script_and_nothing_from_elsewhere(client):
    html = page(post(client, picture()))
    assert not re.search(r"<script(?! type=\"module\" src=)|<style|\sstyle=|\son\w+=", html)
    assert not re.search(r'(src|href)="(https?:)?//', html)
    for address in re.findall(r'<link[^>]*href="([^"]+)"', html):
        with client.get(address) as response:
            assert response.status_code == 200


def test_under_a_path_prefix_every_address_carries_it(client):
    html = page(client.get("/", base_url="http://localhost/vision"))
    addresses = re.findall(r'(?:href|src|action)="([^"#]+)"', html)
    assert addresses
    assert all(address.startswith("/vision/") for address in addresses)


def test_json_escapes_nothing_away(client):
    document = json.loads(post(client, (picture(), "katze äöü 猫.png"), json=True).data)
    assert document["results"][0]["filename"] == "katze äöü 猫.png"
