"""Kept results: their address, their deletion, and what is written to disk."""

import base64
import io
import re

import pytest
from PIL import Image
from support.pictures import encoded, picture, textured
from support.sites import post

SENTENCE = "The image you uploaded is an Egyptian cat (99.22%)"


def page(response) -> str:
    return response.get_data(as_text=True)


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
    assert [path.name for path in settings.uploads.iterdir()] == ["cookies.key"]
    for gone in (client.get(url), client.get(url + "/image"), client.delete(url)):
        assert gone.status_code == 404


def test_nothing_that_was_sent_reaches_the_disk_as_it_was(client, settings):
    sent = encoded(textured((2000, 1500)), "JPEG", comment=b"who took it and where")
    post(client, (sent, "holiday at home.jpg"))
    kept = sorted(settings.uploads.glob("*.j*"))
    assert [path.suffix for path in kept] == [".jpg", ".json"]
    assert {path.name for path in settings.uploads.iterdir()} - {path.name for path in kept} == {"cookies.key"}
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


def test_a_photo_that_lacks_its_last_bytes_is_answered_with_a_notice(client):
    """So do cameras that cannot keep up, and broken transfers."""
    cut_off = encoded(textured(), "JPEG")[:-2]
    notice = "The end of this file is missing"
    assert notice in page(post(client, cut_off))
    result = post(client, cut_off, json=True).json["results"][0]
    assert result["notice"].startswith(notice)
    assert notice in page(client.get(result["url"]))
    assert "notice" not in post(client, encoded(textured(), "JPEG"), json=True).json["results"][0]
