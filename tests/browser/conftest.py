"""A site in this process, and its pages in Chromium."""

import pytest
from playwright.sync_api import Page
from support.browsers import BROWSER_MS
from support.sites import SpyingEngine, served


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a site, and its engine."""
    engine = SpyingEngine()
    with served(engine, tmp_path_factory.mktemp("uploads"), keep_hours=1) as url:
        yield url, engine


@pytest.fixture
def engine(site):
    site[1].forget()
    yield site[1]
    site[1].open.set()


@pytest.fixture
def open_page(site, engine, browser):
    """Open the page with the options of a browser context; fail at the end if the console has reported anything."""
    contexts, complaints = [], []

    def complain(message):
        if not message.text.startswith("Failed to load resource"):  # what Chromium says of a 4xx or an interruption
            complaints.append(message.text)

    def open(url: str = site[0], **options) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(BROWSER_MS)
        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith((url, "data:")) or complaints.append(asked.url))
        page.goto(url)
        return page

    yield open
    for context in contexts:
        context.close()
    assert complaints == []
