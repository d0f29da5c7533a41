"""Everything is counted exactly once, and only permitted clients can read the metrics."""

import json
import re
from contextlib import closing
from http.client import HTTPConnection

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import ROOT, Site, running
from support.environ import PYTHONPATH
from support.pictures import encoded, picture
from support.sites import post
from support.waiting import wait_until

from web.ops.metrics import Metrics

SOON = 30  # seconds; only a broken site ever takes so long

LIME = picture("lime")


def figures(text: str) -> dict[str, float]:
    """Return every sample by its name and labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name + str(dict(sorted(sample.labels.items())) or ""): sample.value for sample in samples}


@pytest.fixture
def measured(client):
    return lambda: figures(client.get("/metrics").text)


def test_requests_count_by_route_and_status(client, measured):
    post(client, LIME)
    client.get("/results/" + "0" * 32)
    client.get("/no/such/address")
    found = measured()
    assert found["classifier_requests_total{'method': 'POST', 'route': '/', 'status': '200'}"] == 1
    assert found["classifier_requests_total{'method': 'GET', 'route': '/results/<id>', 'status': '404'}"] == 1
    assert found["classifier_requests_total{'method': 'GET', 'route': 'unknown', 'status': '404'}"] == 1


def test_photos_count_by_stage_batch_and_confidence(client, measured):
    post(client, LIME, LIME)
    found = measured()
    for stage in ("decode", "wait", "predict"):
        assert found[f"classifier_stage_seconds_count{{'stage': '{stage}'}}"] == 2
    assert found["classifier_stage_seconds_count{'stage': 'render'}"] == 1
    assert found["classifier_batch_size_count"] == 2
    assert found["classifier_confidence_sum"] == pytest.approx(2 * 256 / 258)
    assert found["classifier_queue_length"] == 0


def test_refusals_count_by_reason(client, measured):
    post(client, b"words")
    post(client, encoded_in_part(), LIME)
    client.post("/")
    client.get("/nowhere")
    found = measured()
    assert found["classifier_refusals_total{'reason': 'unsupported_image'}"] == 1
    assert found["classifier_refusals_total{'reason': 'broken_image'}"] == 1
    assert found["classifier_refusals_total{'reason': 'bad_request'}"] == 1
    assert found["classifier_refusals_total{'reason': 'not_found'}"] == 1


def encoded_in_part() -> bytes:
    from support.pictures import textured

    return encoded(textured((64, 64)))[:200]


def test_what_is_kept_and_what_visitors_say_is_counted(client, measured):
    (result,) = post(client, LIME, json=True).json["results"]
    client.post(f"{result['url']}/feedback", data={"right": "yes"})
    found = measured()
    assert found["classifier_kept_results"] == 1
    assert found["classifier_kept_bytes"] > 500
    assert found["classifier_feedback_total{'right': 'yes'}"] == 1
    assert found["classifier_resident_memory_bytes"] > 10e6


def test_feedback_that_is_refused_is_not_counted(client, measured):
    (result,) = post(client, LIME, json=True).json["results"]
    for right in ("no", "maybe"):
        client.post(f"{result['url']}/feedback", data={"right": right})
    client.post("/results/" + "0" * 32 + "/feedback", data={"right": "no"})
    found = measured()
    assert found["classifier_feedback_total{'right': 'no'}"] == 1
    assert "classifier_feedback_total{'right': 'yes'}" not in found


def test_memory_is_looked_up_once_a_second(monkeypatch):
    measured = Metrics()
    monkeypatch.setattr("web.ops.metrics.resident_bytes", iter([1.0, 2.0]).__next__)
    told = []
    for now in (100.0, 100.9, 101.0, 101.5):
        measured.note_memory(now)
        told.append(measured.resident.collect()[0].samples[0].value)
    assert told == [1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("changes", "address", "headers", "status"),
    [
        ({}, "127.0.0.1", {}, 200),
        ({}, "203.0.113.7", {}, 403),
        ({}, "127.0.0.1", {"X-Forwarded-For": "203.0.113.7"}, 403),  # a proxy that was not told about
        ({"proxies": 1}, "127.0.0.1", {"X-Forwarded-For": "203.0.113.7"}, 403),
        ({"proxies": 1}, "", {"X-Forwarded-For": "203.0.113.7"}, 403),
        ({"proxies": 1}, "", {"X-Forwarded-For": "127.0.0.1"}, 200),  # through nginx and its socket
        ({}, "", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ({}, "", {}, 200),
        ({"metrics_from": ("203.0.113.0/24",)}, "203.0.113.7", {}, 200),
        ({"metrics_from": ("203.0.113.0/24",)}, "127.0.0.1", {}, 403),
        ({"token": "secret"}, "203.0.113.7", {"Authorization": "Bearer secret"}, 200),
        ({"token": "secret"}, "203.0.113.7", {"Authorization": "Bearer wrong"}, 403),
        ({"metrics_from": ()}, "", {}, 403),
    ],
)
def test_who_may_read_them(make_client, changes, address, headers, status):
    client = make_client(**changes)
    assert client.get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": address}).status_code == status


def test_any_worker_process_tells_the_figures_of_all():
    """The workers answer in turn, so the counts of a single one could not add up."""
    environ = {**PYTHONPATH, "GUNICORN_CMD_ARGS": "--workers 2"}
    with running(environ, app="support.toy_site:app") as site:
        wait_until(lambda: len(residents(figures(fetched(site, "/metrics")))) == 2, SOON)  # the second has started
        for _ in range(20):
            fetched(site, "/nowhere")
        told = [figures(fetched(site, "/metrics")) for _ in range(5)]
    counted = "classifier_requests_total{'method': 'GET', 'route': 'unknown', 'status': '404'}"
    assert {found[counted] for found in told} == {20}


def test_a_process_that_has_just_started_does_not_spoil_the_figures_of_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (tmp_path / "counter_7.db").touch()  # as prometheus_client leaves it for a moment
    assert Metrics().text() == b""


def residents(found: dict[str, float]) -> list[str]:
    return [name for name in found if name.startswith("classifier_resident_memory_bytes")]


def fetched(site: Site, path: str) -> str:
    with closing(HTTPConnection(site.host, site.port)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def test_the_dashboard_shows_figures_that_there_are(client, measured):
    """Each metric in the Grafana dashboard exists."""
    (result,) = post(client, LIME, b"words", json=True).json["results"][:1]
    client.post(f"{result['url']}/feedback", data={"right": "yes"})
    dashboard = (ROOT / "deploy" / "grafana-dashboard.json").read_text()
    json.loads(dashboard)
    families = {re.split(r"_bucket|_sum|_count|\{", name)[0] for name in measured()}
    used = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"classifier_\w+", dashboard)}
    assert used
    assert used <= families
