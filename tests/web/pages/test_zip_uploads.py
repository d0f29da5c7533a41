"""Zip files of photos: answered photo by photo while they are read, within bounds, and without pushing others aside."""

import csv
import html
import io
import json
import logging
import os
import re
import shutil
import subprocess

import pytest
from support.pictures import picture
from support.sites import SpyingEngine, listening, post
from support.zip_files import HOSTILE, zipped

from app import create_app
from classifier.errors import Unavailable
from classifier.storage.kept import KeptResults
from web.pages.answering import AT_ONCE, patient_answers, some_at_a_time
from web.pages.arrival import ZIPS_AT_ONCE
from web.pages.sent import in_memory

LABELS = {"red": "red_fox", "lime": "Egyptian_cat", "blue": "blue_jay"}
MANY = 50  # more than one request may hold outside of zip files


def colours(count=MANY):
    return [list(LABELS)[n % 3] for n in range(count)]


def many(*extra, count=MANY):
    photos = [(f"trip/{n:03}.png", picture(colour, (32, 32))) for n, colour in enumerate(colours(count))]
    return zipped(*photos, *extra)


def form(*files):
    """Return a body made by hand, because the client leaves temporary files of its own behind."""
    head = b'--sep\r\nContent-Disposition: form-data; name="fileImage"; filename="%s"\r\n\r\n'
    body = b"".join(head % name.encode() + content + b"\r\n" for content, name in files)
    return {"data": body + b"--sep--\r\n", "content_type": "multipart/form-data; boundary=sep"}


def asked(client, *files, accept="application/json"):
    return client.post("/", **form(*files), headers={"Accept": accept}, buffered=True)


def begun(client, data, accept="text/html"):
    """Return the response to a zip file, which comes part by part, and must be closed."""
    return client.post("/", **form((data, "x.zip")), headers={"Accept": accept}, buffered=False)


def label(result):
    return result["predictions"][0]["label"] if "predictions" in result else result["error"]["detail"]


@pytest.fixture
def spied(settings):
    """A client, and the engine behind it."""
    engine = SpyingEngine()
    yield create_app(engine, settings, KeptResults(settings.uploads)).test_client(), engine
    engine.close()


@pytest.mark.parametrize("name", ["photos.zip", "photo.jpg", "x"])
def test_a_zip_file_is_known_by_its_content_and_answered_as_its_photos(client, name):
    response = asked(client, (zipped(("b.png", picture("blue")), ("a/c.png", picture("red"))), name))
    assert response.status_code == 200
    assert [(result["filename"], label(result)) for result in response.json["results"]] == [
        ("b.png", "blue_jay"),
        ("a/c.png", "red_fox"),
    ]


def test_photos_beside_it_and_broken_ones_in_it_keep_their_places(client):
    archive = zipped(("1.png", picture("lime")), ("2.png", b"words"), ("3.png", picture("red")))
    results = asked(client, (picture("blue"), "0.png"), (archive, "x.zip"), (picture("blue"), "4.png")).json["results"]
    assert [result["filename"] for result in results] == [f"{n}.png" for n in range(5)]
    assert [label(result) for n, result in enumerate(results) if n != 2] == [
        "blue_jay", "Egyptian_cat", "red_fox", "blue_jay"
    ]  # fmt: skip
    assert results[2]["error"]["status"] == 415


def test_a_small_one_is_listed_among_the_visitors_recent_photos(client):
    results = asked(client, (zipped(("b.png", picture("blue"))), "x.zip")).json["results"]
    assert f'src="{results[0]["url"]}/image"' in client.get("/").text


def test_many_photos_are_answered_as_json(client):
    response = asked(client, (many(("x.png", b"broken")), "photos.zip"))
    document = json.loads(response.text)
    assert (response.status_code, response.mimetype) == (200, "application/json")
    assert document["model"] == "toy"
    assert [label(result) for result in document["results"][:-1]] == [LABELS[colour] for colour in colours()]
    assert document["results"][-1]["error"]["status"] == 415
    assert client.get(document["results"][7]["url"]).status_code == 200


def test_many_photos_are_answered_as_csv(client):
    response = asked(client, (many(), "photos.zip"), accept="text/csv")
    assert (response.status_code, response.mimetype) == (200, "text/csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [row["label"] for row in rows] == [LABELS[colour] for colour in colours()]
    assert [row["filename"] for row in rows] == [f"trip/{n:03}.png" for n in range(MANY)]


@pytest.mark.parametrize("keep_hours", [24, 0])
def test_many_photos_are_answered_on_a_page(make_client, keep_hours):
    response = asked(make_client(keep_hours=keep_hours), (many(), "photos.zip"), accept="text/html")
    assert (response.status_code, response.mimetype) == (200, "text/html")
    assert response.text.lstrip().startswith("<!doctype html>")
    assert response.text.count("The image you uploaded is") == MANY
    assert "trip/007.png" in response.text
    assert "Download CSV" in response.text
    assert "data:image" not in response.text


def test_what_a_page_holds_arrives_only_with_the_last_answer_but_signs_of_life_before(spied):
    client, engine = spied
    response = begun(client, many())
    assert next(iter(response.response)) == b"\n"
    assert len(engine.arrived) <= AT_ONCE
    response.close()


def test_answers_arrive_while_the_zip_file_is_read(spied):
    client, engine = spied
    response = begun(client, many(), "text/csv")
    assert response.headers["X-Accel-Buffering"] == "no"
    lines = iter(response.response)
    assert next(lines).startswith(b"filename,")
    assert b"red_fox" in next(lines)
    assert 0 < len(engine.arrived) <= AT_ONCE
    assert len(list(lines)) == MANY - 1
    assert len(engine.arrived) == MANY
    response.close()


def test_a_few_large_photos_are_not_read_all_at_once_either(make_client):
    """Nobody knows yet that none is one when the answer begins with status 200."""
    noise = [(f"{n}.bmp", os.urandom(600_000)) for n in range(2)]
    for max_upload_mb, status in ((2, 415), (1, 200)):
        response = asked(make_client(max_upload_mb=max_upload_mb), (zipped(*noise), "a.zip"))
        assert (response.status_code, len(response.json["results"])) == (status, 2)


def test_only_a_few_of_its_photos_wait_so_that_others_are_answered_meanwhile(spied):
    client, engine = spied
    response = begun(client, many())
    next(iter(response.response))
    assert post(client, picture("lime")).status_code == 200
    assert len(engine.arrived) == AT_ONCE + 1
    response.close()
    assert len(engine.arrived) == AT_ONCE + 1  # a client that stops reading is answered no further


@pytest.mark.parametrize("name", ["cut off", "a .docx", "1,001 files", "encrypted", "nested", "a photo of 21 MB"])
def test_a_hostile_zip_file_is_refused_in_a_sentence(client, name):
    """All of them, and what they cost: `tests/hostile`."""
    make, sentence = HOSTILE[name]
    archive = (make(), "a.zip")
    as_json, as_page = asked(client, archive), asked(client, archive, accept="text/html")
    (result,) = as_json.json["results"]
    assert as_json.status_code == as_page.status_code == result["error"]["status"]
    assert as_json.status_code in (400, 413, 415)
    assert as_json.mimetype == "application/problem+json"
    assert sentence in as_json.json["detail"]
    assert sentence in html.unescape(as_page.text)


def test_a_zip_file_that_is_refused_as_a_whole_is_named_and_has_the_status_of_the_contract(client):
    for name, status in {"a .docx": 400, "cut off": 400, "empty": 400, "bomb of many files": 413}.items():
        (result,) = asked(client, (HOSTILE[name][0](), "mine.zip")).json["results"]
        assert (result["filename"], result["error"]["status"]) == ("mine.zip", status)


def test_it_counts_as_one_file_of_a_request(make_client):
    client = make_client(max_files=2)
    archive = (zipped(*((f"{n}.png", picture()) for n in range(3))), "a.zip")
    assert len(asked(client, archive, archive).json["results"]) == 6
    assert asked(client, archive, archive, archive).status_code == 413


def test_the_zip_files_of_a_request_share_its_limits(make_client):
    archive = (zipped(("a.png", picture()), ("b.png", picture())), "a.zip")
    results = asked(make_client(max_zip_files=3), archive, archive).json["results"]
    assert [label(result) for result in results[:2]] == ["red_fox", "red_fox"]
    assert "one request may hold 1 in zip files" in label(results[2])
    noise = (zipped(("a.bmp", os.urandom(2**19 + 2**18))), "a.zip")
    assert asked(make_client(max_zip_mb=1), noise).status_code == 415
    refused = asked(make_client(max_zip_mb=1), noise, noise)
    assert (refused.status_code, "1 MB of zip files" in refused.json["detail"]) == (413, True)


def test_photos_may_not_be_larger_because_zip_files_may(client):
    large = (b"x" * (20 * 2**20 + 1), "a.jpg")
    assert asked(client, large).status_code == 413
    assert asked(client, (zipped(("a.png", picture())), "a.zip"), large).status_code == 413


def test_other_addresses_take_no_larger_requests(client):
    assert client.post("/models/toy", data=b"x" * (20 * 2**20 + 1)).status_code == 413


def test_zip_files_can_be_refused_altogether(make_client):
    client = make_client(max_zip_files=0)
    refused = asked(client, (zipped(("a.png", picture())), "a.zip"))
    assert refused.status_code == 415
    assert ".zip" not in client.get("/").text
    assert asked(client, (b"PK\3\4" + b"x" * (20 * 2**20), "a.zip")).status_code == 413


def test_beyond_a_few_zip_files_at_once_the_next_is_refused_and_photos_are_not(client):
    under_way = [begun(client, many()) for _ in range(ZIPS_AT_ONCE)]
    refused = asked(client, (many(), "a.zip"))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert "Other zip files are being answered" in refused.json["detail"]
    assert post(client, picture("lime")).status_code == 200
    for response in under_way:
        response.close()
    assert asked(client, (many(), "a.zip")).status_code == 200
    assert asked(client, (zipped(), "empty.zip")).status_code == 400
    assert asked(client, (many(), "a.zip")).status_code == 200


def test_a_large_one_waits_on_a_disk_and_leaves_nothing_there(client, monkeypatch, tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    noise = [(f"{n}.bmp", os.urandom(10**6)) for n in range(3)]
    archive = zipped(*noise, *((f"{n}.png", picture("lime")) for n in range(20)))
    assert [label(result) for result in asked(client, (archive, "a.zip")).json["results"][3:]] == ["Egyptian_cat"] * 20
    assert list(folder.iterdir()) == []
    folder.rmdir()
    refused = asked(client, (archive, "a.zip"))
    assert (refused.status_code, "no room for this zip file" in refused.json["detail"]) == (503, True)


def test_photos_that_there_was_no_room_for_are_asked_again(spied):
    _, engine = spied
    photos = [in_memory("a", picture("lime")), in_memory("b", b"words"), in_memory("c", picture("red"))]

    class Busy:
        """Has no room for anything at first, then for all but one."""

        turns = 0

        def classify(self, files, top=None):
            self.turns += 1
            answers = engine.classify(files)
            refused = {1: answers, 2: answers[-1:]}.get(self.turns, [])
            return [Unavailable("Busy.") if answer in refused else answer for answer in answers]

    busy, pauses = Busy(), []
    first, second, third = patient_answers(busy, photos, 60, pauses.append)
    assert [first.predictions[0].label, third.predictions[0].label] == ["Egyptian_cat", "red_fox"]
    assert type(second).__name__ == "UnsupportedImage"
    assert (busy.turns, pauses) == (3, [1, 2])


def test_an_engine_that_stays_busy_is_asked_a_few_times_only():
    class Busy:
        def classify(self, files, top=None):
            return [Unavailable("Busy.") for _ in files]

    photos, pauses = [in_memory("a", picture("lime"))], []
    (answer,) = patient_answers(Busy(), photos, 60, pauses.append)
    assert (str(answer), pauses) == ("Busy.", [1, 2, 4])
    patient_answers(Busy(), photos, -1, pauses.append)
    assert len(pauses) == 3


def test_large_photos_are_read_in_smaller_groups():
    photos = [in_memory(str(n), bytes(size)) for n, size in enumerate([3, 3, 3, 20, 1, *[0] * 2 * AT_ONCE])]
    groups = [[photo.size for photo in some] for some in some_at_a_time(photos, 8)]
    assert groups == [[3, 3], [3], [20], [1, *[0] * (AT_ONCE - 1)], [0] * AT_ONCE, [0]]


def test_a_zip_file_is_one_line_of_the_log_when_its_last_photo_is_answered(client, caplog):
    caplog.set_level(logging.INFO, "site.request")
    response = begun(client, many(count=100))
    lines = [record.fields for record in caplog.records if record.name == "site.request"]
    assert lines == []
    assert response.text
    response.close()
    (line,) = [record.fields for record in caplog.records if record.name == "site.request"]
    assert (line["method"], line["route"], line["status"]) == ("POST", "/", 200)
    assert (line["photo_count"], len(line["photos"])) == (100, 64)
    assert set(line["photos"][0]) == {"decode", "wait", "predict", "batch"}
    metrics = client.get("/metrics").text
    assert re.search(r'classifier_requests_total\{method="POST",route="/",status="200"\} 1.0', metrics)


def test_the_photos_of_a_small_zip_file_are_answered_together_and_too_many_are_refused(client):
    few, too_many = form((many(count=4), "a.zip")), form((many(), "a.zip"))
    for sent in (few, too_many):
        sent["data"] = b'--sep\r\nContent-Disposition: form-data; name="together"\r\n\r\n1\r\n' + sent["data"]
    headers = {"Accept": "application/json"}
    assert client.post("/", **few, headers=headers).json["together"]["predictions"][0]["label"] == "red_fox"
    refused = client.post("/", **too_many, headers=headers)
    assert (refused.status_code, "send at most 16, of 20 MB in all" in refused.json["detail"]) == (413, True)


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_curl_sends_a_zip_file_and_gets_its_rows(client, tmp_path):
    (tmp_path / "photos.zip").write_bytes(many(("notes.txt", b"words")))
    with listening(client.application) as port:
        command = ["curl", "-sS", "-H", "Accept: text/csv", "-F", "fileImage=@photos.zip", f"http://127.0.0.1:{port}/"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    *answered, refused = csv.DictReader(io.StringIO(done.stdout))
    assert [row["label"] for row in answered] == [LABELS[colour] for colour in colours()]
    assert (refused["filename"], refused["error"][:25]) == ("notes.txt", "This file is not an image")
