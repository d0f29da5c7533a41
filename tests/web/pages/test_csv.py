"""CSV: the same results for spreadsheets and scripts, without formulas, also in a link on the page."""

import base64
import csv
import io
import re

import pytest
from support.pictures import picture
from support.sites import post

COLUMNS = "filename,label,score,broader,broader_score,familiar,sure,model,version,url,error"


def asked(client, *files, accept="text/csv"):
    data = {"fileImage": [(io.BytesIO(content), name) for content, name in files]}
    return client.post("/", data=data, headers={"Accept": accept})


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_the_columns_of_the_contract_and_a_line_per_photo(client):
    response = asked(client, (picture("lime"), "a.png"), (b"words", "notes.txt"), (picture("red"), "ü, b.png"))
    assert (response.status_code, response.mimetype) == (200, "text/csv")
    assert response.text.splitlines()[0] == COLUMNS
    first, second, third = rows(response.text)
    assert (first["filename"], first["label"], first["model"]) == ("a.png", "Egyptian_cat", "toy")
    assert float(first["score"]) == pytest.approx(256 / 258, abs=1e-6)
    assert client.get(first["url"]).status_code == 200
    assert second["error"].startswith("This file is not an image")
    assert (second["filename"], second["label"], second["url"]) == ("notes.txt", "", "")
    assert (third["filename"], third["label"], third["error"]) == ("ü, b.png", "red_fox", "")


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        ("text/csv", "text/csv"),
        ("text/csv, */*;q=0.1", "text/csv"),
        ("application/json, text/csv;q=0.5", "application/json"),
        ("text/html, text/csv;q=0.9", "text/html"),
        ("*/*", "text/html"),
    ],
)
def test_csv_is_answered_when_accept_prefers_it(client, accept, mimetype):
    assert asked(client, (picture(), "a.png"), accept=accept).mimetype == mimetype


def test_when_all_files_fail_the_first_error_is_the_status(client):
    response = asked(client, (b"words", "a"), (b"", "b"))
    assert (response.status_code, response.mimetype) == (415, "text/csv")
    assert [bool(row["error"]) for row in rows(response.text)] == [True, True]


def test_a_request_that_is_refused_as_a_whole_gets_a_problem_document(client):
    response = client.post("/", headers={"Accept": "text/csv"})
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")


def test_a_kept_result_is_given_as_csv(client):
    url = post(client, picture("blue"), json=True).json["results"][0]["url"]
    (row,) = rows(client.get(url, headers={"Accept": "text/csv"}).text)
    assert (row["label"], row["url"]) == ("blue_jay", url)


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@SUM(A1).png", "\t=1.png"])
def test_no_name_is_a_formula(client, name):
    (row,) = rows(asked(client, (picture(), name)).text)
    assert row["filename"] == "'" + name.strip()


def test_sure_is_spelt_as_in_json(make_client):
    for threshold, spelt in ((0.5, "true"), (1, "false")):
        (row,) = rows(asked(make_client(threshold=threshold), (picture(), "a.png")).text)
        assert row["sure"] == spelt


@pytest.mark.parametrize("keep_hours", [24, 0])
def test_the_page_of_many_results_has_them_as_a_file(make_client, keep_hours):
    client = make_client(keep_hours=keep_hours)
    html = post(client, (picture("lime"), "a.png"), (b"words", "b.txt")).text
    (encoded,) = re.findall(r'download="results.csv" href="data:text/csv;charset=utf-8;base64,([^"]+)"', html)
    found = rows(base64.b64decode(encoded).decode("utf-8-sig"))
    assert [(row["filename"], row["label"], bool(row["error"])) for row in found] == [
        ("a.png", "Egyptian_cat", False),
        ("b.txt", "", True),
    ]
    assert "data:text/csv" not in post(client, picture()).text
