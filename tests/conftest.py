"""The fixtures that tests of several folders use."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from support import ray_cluster
from support.groups import RAY, Groups, names, turn
from support.models import ToyModel

from app import create_app
from classifier.models.quick_start import collector_paused, import_keras
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


def pytest_configure(config: pytest.Config) -> None:
    gc.set_threshold(20_000)  # the tests leave few cycles, and looking for them took a tenth of their time
    if config.getoption("numprocesses", None):  # of pytest-xdist, whose processes start later
        # They share the processors: threads of one that wait for each other only slow the others.
        os.environ.update(dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without the garbage collector, which would scan all tests found so far again and again."""
    with collector_paused():
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    gc.collect()
    gc.freeze()  # pytest and Python look again and again for what nobody has closed; it was found just now


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: turn(item.location[0]))  # stable: within a turn, pytest-randomly's order stays


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if names(item.location[0], RAY) and not (nextitem and names(nextitem.location[0], RAY)):
        ray_cluster.stop()


def pytest_collection_finish() -> None:
    slow = {"matplotlib", "sklearn", "tensorflow"} & sys.modules.keys()
    if slow:
        raise pytest.UsageError(f"Collecting the tests has imported {min(slow)}; import it in a fixture or a test.")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("tensorflow"):
        import_keras()  # in half the time that a fixture's or a test's own import would take


@pytest.fixture(scope="session", autouse=True)
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile each template once, not for the site of every test."""
    Flask.jinja_options["bytecode_cache"] = FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(uploads=tmp_path / "uploads")


@pytest.fixture
def make_client(settings: Settings) -> Iterator[Any]:
    """Clients of a site with the toy model; keyword arguments are settings."""
    engines = []

    def make(**changes: Any) -> FlaskClient:
        chosen = Settings(**{**vars(settings), **changes})
        engines.append(LocalEngine(ToyModel(resize=chosen.resize), chosen.limits))
        uploads = KeptResults(chosen.uploads, chosen.keep_hours, chosen.keep_mb)
        return create_app(engines[-1], chosen, uploads).test_client()

    yield make
    for engine in engines:
        engine.close()


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
