"""The fixtures that tests of several folders use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.models import ToyModel

from app import create_app
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(uploads=tmp_path / "uploads")


@pytest.fixture
def make_client(settings: Settings):
    """Clients of a site with the toy model; keyword arguments are settings."""

    def make(**changes: Any) -> FlaskClient:
        chosen = Settings(**{**vars(settings), **changes})
        engine = LocalEngine(ToyModel(resize=chosen.resize), chosen.limits)
        return create_app(engine, chosen, KeptResults(chosen.uploads, chosen.keep_hours, chosen.keep_mb)).test_client()

    return make


@pytest.fixture
def client(make_client) -> FlaskClient:
    return make_client()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import expect, sync_playwright
    from support.browsers import BROWSER_MS
    from support.needs import CHROMIUM

    expect.set_options(timeout=BROWSER_MS)
    with sync_playwright() as playwright:
        # --no-sandbox: CI runs as root.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
