"""Bad input gets the right status and one sentence, in HTML and JSON, and leaves nothing behind."""

import html
import re

import pytest
from hostile.images import TEXT, png, webp
from support.pictures import encoded, picture, textured
from support.sites import post

JSON = {"Accept": "application/json"}


def form(*parts: tuple[str, bytes]) -> dict:
    """Return a multipart body made by hand from (headers, content) pairs, as clients refuse to send some of these."""
    body = b"".join(b"--sep\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n" for head, content in parts)
    return {"data": body + b"--sep--\r\n", "content_type": "multipart/form-data; boundary=sep"}


def photo_part(content: bytes, filename: str = "photo.jpg") -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="fileImage"; filename="{filename}"', content


TEXT_FIELD = 'Content-Disposition: form-data; name="fileImage"'
BAD = {
    "no field": ({}, 400, "choose one"),
    "another field": (form(('Content-Disposition: form-data; name="x"; filename="a"', picture())), 400, "choose one"),
    "empty field": (form(photo_part(b"", filename="")), 400, "choose one"),
    "empty file": (form(photo_part(b"")), 400, "empty"),
    "field sent as text": (form((TEXT_FIELD, b"photo.jpg")), 400, "holds text"),
    "field sent as much text": (form((TEXT_FIELD, b"x" * 600_000)), 413, "files in the field fileImage"),
    "json instead of a form": ({"json": {"fileImage": "x"}}, 400, "choose one"),
    "broken multipart": (
        {"data": b"--sep\r\nnonsense", "content_type": "multipart/form-data; boundary=sep"},
        400,
        "choose one",
    ),
    "no boundary": ({"data": b"nonsense", "content_type": "multipart/form-data"}, 400, "choose one"),
    "text named .jpg": (form(photo_part(b"hello")), 415, "not an image"),
    "svg": (form(photo_part(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg")), 415, "not an image"),
    "html polyglot": (form(photo_part(b"GIF89a<script>alert(1)</script>" * 9, "a.gif")), 415, "not an image"),
    "truncated jpeg": (form(photo_part(encoded(textured(), "JPEG")[:4000])), 422, "damaged or incomplete"),
    "bomb": (form(photo_part(png(50_000, 50_000), "a.png")), 413, "2,500 megapixels"),
    "webp bomb": (form(photo_part(webp(13_377, 13_377), "a.webp")), 413, "178.9 megapixels"),
    "png text chunks": (form(photo_part(png(10, 10, TEXT), "a.png")), 422, "damaged"),
    "100 MB": (form(photo_part(b"x" * 100 * 2**20)), 413, "fewer or smaller"),
    "10 000 parts": (form(*[photo_part(b"x")] * 10_000), 413, "fewer or smaller"),
    "17 photos": (form(*[photo_part(picture())] * 17), 413, "17 photos"),
}


@pytest.mark.parametrize(("request_", "status", "sentence"), BAD.values(), ids=BAD)
def test_bad_input(client, settings, request_, status, sentence):
    as_page = client.post("/", **request_)
    assert as_page.status_code == status
    text = html.unescape(as_page.get_data(as_text=True))
    assert sentence in text
    assert 'name="fileImage"' in text
    assert not re.search(r"Traceback|Error\b|/site-packages|classifier\.", text)

    as_json = client.post("/", **request_, headers=JSON)
    assert as_json.status_code == status
    assert as_json.mimetype == "application/problem+json"
    assert as_json.json["status"] == status
    assert as_json.json["type"] == "about:blank"
    assert as_json.json["title"]
    assert sentence in as_json.json["detail"]
    assert as_json.json["detail"] in text

    assert not settings.uploads.exists()
    assert post(client, picture()).status_code == 200


NAMES = {
    "traversal": "../../../etc/passwd",
    "windows traversal": "..\\..\\boot.ini",
    "nul": "a\0b.png",
    "script": "<script>alert(1)</script>.png",
    "long": "x" * 5000 + ".png",
    "quotes": "a&quot;'b.png",
    "right-to-left": "gnp.\u202egpj.exe",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_hostile_names_are_harmless(client, settings, tmp_path, name):
    response = post(client, (picture("lime"), name))
    assert response.status_code == 200
    text = response.get_data(as_text=True)
    assert "<script>" not in text
    assert len(text) < 20_000
    filename = post(client, (picture(), name), json=True).json["results"][0]["filename"]
    assert filename.isprintable()
    assert len(filename) <= 255
    assert not {"/", "\\"} & set(filename)
    assert {path.name for path in tmp_path.iterdir()} == {"uploads"}
    assert all(re.fullmatch(r"[0-9a-f]{32}\.(jpg|json)|cookies\.key", path.name) for path in settings.uploads.iterdir())


def test_newlines_in_a_name_break_the_form_and_nothing_else(client):
    response = post(client, (picture(), "a\r\nX-Evil: 1\r\n\r\nb.png"))
    assert response.status_code == 400
    assert "X-Evil" not in response.headers
    assert post(client, picture()).status_code == 200


def test_a_polyglot_that_is_an_image_is_answered_and_kept_as_our_own_jpeg(client, settings):
    gif = encoded(textured((64, 64)), "GIF") + b"<html><script>alert(1)</script></html>"
    assert post(client, (gif, "a.html")).status_code == 200
    assert all(b"<script>" not in path.read_bytes() for path in settings.uploads.iterdir())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/results/", 404),
        ("GET", "/results/" + "0" * 32, 404),
        ("GET", "/results/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/results/%00", 404),
        ("GET", "/results/" + "0" * 32 + "/image", 404),
        ("DELETE", "/results/" + "0" * 32, 404),
        ("POST", "/results/" + "0" * 32 + "/delete", 404),
        ("PUT", "/", 405),
        ("POST", "/results/" + "0" * 32, 405),
    ],
)
def test_addresses_that_answer_nothing(client, method, path, status):
    as_page = client.open(path, method=method)
    as_json = client.open(path, method=method, headers=JSON)
    assert as_page.status_code == as_json.status_code == status
    assert as_json.mimetype == "application/problem+json"
    assert as_json.json["detail"] in html.unescape(as_page.get_data(as_text=True))
    assert ("Allow" in as_page.headers) == (status == 405)


def test_what_is_our_fault_is_logged_and_told_in_general_words(client, monkeypatch, caplog):
    monkeypatch.setattr("classifier.storage.kept.KeptResults.keep", lambda *_: 1 / 0)
    response = post(client, picture(), json=True)
    assert response.status_code == 500
    assert response.json["detail"] == "Something went wrong on our side. The error has been logged; please try again."
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()
    assert post(client, picture()).status_code == 200


def test_ordinary_photos_are_far_from_the_form_limits(client):
    photo = encoded(textured((800, 800)), "BMP")
    assert len(photo) > 1_500_000
    assert client.post("/", **form(photo_part(photo))).status_code == 200
    assert client.application.config["MAX_FORM_MEMORY_SIZE"] >= 500_000


def test_uploads_wait_in_memory_and_leave_no_temporary_file(client, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))  # any temporary file would fail
    body = form(photo_part(encoded(textured((800, 800)), "BMP")))
    assert client.post("/", **body).status_code == 200
