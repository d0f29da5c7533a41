"""Liveness and readiness are separate, and each gives the reason if it fails."""

import pytest
from support.models import ToyModel

from app import create_app
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "uploads"


@pytest.fixture
def app(folder):
    return create_app(LocalEngine(ToyModel()), Settings(uploads=folder), KeptResults(folder))


def test_ready_names_what_answers(app):
    assert app.test_client().get("/readyz").json == {
        "status": "ready", "model": "toy", "device": "CPU", "precision": "float32"
    }  # fmt: skip


def test_ready_explains_why_the_graphics_card_does_not_answer(folder):
    model = ToyModel(device_reason="The card is not used: it computes wrong numbers.")
    app = create_app(LocalEngine(model), Settings(uploads=folder), KeptResults(folder))
    assert app.test_client().get("/readyz").json["device_reason"] == model.info.device_reason


def test_a_site_that_is_being_stopped_is_alive_and_not_ready(app):
    app.extensions["health"].is_draining = lambda: True
    client = app.test_client()
    assert client.get("/healthz").status_code == 200
    refused = client.get("/readyz")
    assert refused.status_code == 503
    assert "being restarted" in refused.text


def test_a_site_that_cannot_keep_anything_is_not_ready(app, folder, caplog):
    folder.write_text("a file where the folder should be")
    client = app.test_client()
    refused = client.get("/readyz", headers={"Accept": "application/json"})
    assert refused.status_code == 503
    assert "cannot be kept" in refused.json["detail"]
    assert client.get("/healthz").status_code == 200
    folder.unlink()
    assert client.get("/readyz").status_code == 200


def test_asking_leaves_nothing_behind(app, folder):
    app.test_client().get("/readyz")
    assert list(folder.iterdir()) == []
