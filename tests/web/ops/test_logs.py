"""One line per request: enough to understand it, nothing personal."""

import io
import json
import logging
import sys

import pytest
from support.pictures import picture
from support.sites import post

from classifier import logs


@pytest.fixture
def lines(caplog):
    """Return the fields of each request's line."""
    caplog.set_level(logging.INFO, "site.request")
    return lambda: [record.fields for record in caplog.records if record.name == "site.request"]


def test_a_request_is_one_line_with_its_stages(client, lines):
    post(client, picture("lime"), b"words")
    (line,) = lines()
    assert {name: line[name] for name in ("method", "route", "status", "client")} == {
        "method": "POST", "route": "/", "status": 200, "client": "127.0.0.1"
    }  # fmt: skip
    answered, refused = line["photos"]
    assert set(answered) == {"decode", "wait", "predict", "batch"}
    assert refused == {"error": "UnsupportedImage"}
    assert line["seconds"] >= answered["decode"]


def test_names_and_ids_stay_out_of_the_log(client, lines):
    (result,) = post(client, (picture("lime"), "my-secret.png"), json=True).json["results"]
    client.get(result["url"])
    assert "my-secret" not in str(lines())
    assert result["id"] not in str(lines())


def test_names_are_there_when_asked_for(make_client, lines):
    post(make_client(log_names=1), (picture("lime"), "my-secret.png"))
    assert lines()[0]["names"] == ["my-secret.png"]


@pytest.mark.parametrize(
    ("proxies", "sent", "is_taken"),
    [(1, "abc-123", True), (0, "abc-123", False), (1, "two\twords", False), (1, "x" * 200, False)],
)
def test_the_request_id_is_the_proxys_or_a_new_one(make_client, lines, proxies, sent, is_taken):
    response = make_client(proxies=proxies).get("/healthz", headers={"X-Request-ID": sent})
    given = response.headers["X-Request-ID"]
    assert (given == sent) is is_taken
    assert lines()[0]["request_id"] == given


@pytest.mark.parametrize("changes", [{"token": "secret"}, {"trusted_hosts": ("elsewhere.org",)}])
def test_who_is_turned_away_leaves_a_line_too(make_client, lines, changes):
    make_client(**changes).get("/")
    assert [line["status"] for line in lines()] in ([401], [400])


def record(**extra) -> logging.LogRecord:
    made = logging.LogRecord("site", logging.WARNING, __file__, 1, "%s\nhappened", ("it",), None)
    vars(made).update(extra)
    return made


def test_a_record_is_one_line_of_json():
    text = logs.JsonFormatter().format(record(fields={"status": 503}))
    assert "\n" not in text
    document = json.loads(text)
    assert (document["level"], document["message"], document["status"]) == ("warning", "it\nhappened", 503)


def test_a_trace_stays_within_its_line():
    try:
        raise ValueError("no")
    except ValueError:
        text = logs.JsonFormatter().format(record(exc_info=sys.exc_info()))
    assert "ValueError: no" in json.loads(text)["trace"]
    assert "\n" not in text


@pytest.mark.parametrize(("is_terminal", "kind"), [(True, logs.TextFormatter), (False, logs.JsonFormatter)])
def test_people_read_lines_and_machines_json(monkeypatch, is_terminal, kind):
    stderr = io.StringIO()
    stderr.isatty = lambda: is_terminal
    monkeypatch.setattr(sys, "stderr", stderr)
    assert type(logs.formatter()) is kind


def test_on_a_terminal_the_fields_follow():
    assert logs.TextFormatter("%(levelname)s").format(record(fields={"status": 200})) == "WARNING status=200"
