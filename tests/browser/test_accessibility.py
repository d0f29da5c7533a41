"""axe-core finds no barrier in any state of the page, light or dark."""

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import expect
from support.models import SIMILAR, TERMS, ComparingModel, ToyModel
from support.needs import needs_chromium
from support.pictures import picture
from support.sites import listening

from app import create_app
from classifier.serving.engine import LocalEngine
from classifier.serving.swapping import SwappingEngine
from classifier.storage.kept import KeptResults

pytestmark = needs_chromium


class DoubtfulModel(ToyModel):
    """Sure of nothing."""

    info = replace(ToyModel.info, threshold=0.999)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return super().__call__(images) * 0.5 + 1 / 6


@pytest.fixture(scope="module", params=["light", "dark"])
def scheme(request):
    return request.param


@pytest.fixture
def visit(browser, scheme, settings, tmp_path):
    """Open a page of a running site; keyword arguments are settings."""

    def start(served=None, reason="", **changes):
        chosen = settings.model_copy(update=changes)
        engine = SwappingEngine(LocalEngine(served or ToyModel()), reason)
        app = create_app(engine, chosen, KeptResults(chosen.uploads, chosen.keep_hours))
        port = sites.enter_context(listening(app))
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        return page

    with ExitStack() as sites, browser.new_context(color_scheme=scheme, reduced_motion="reduce") as context:
        yield start


def send(page, tmp_path, *files):
    paths = []
    for number, data in enumerate(files):
        paths.append(tmp_path / f"photo-{number}.png")
        paths[-1].write_bytes(data)
    page.set_input_files("#fileImage", paths)
    page.click("text=Predict")
    page.wait_for_function(
        "n => document.querySelectorAll('article.result:not(.pending), [role=alert]').length >= n", arg=len(files)
    )


def check(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_the_empty_page(visit):
    check(visit(notice="A line for everyone."))


def test_a_fallback_that_answers(visit):
    check(visit(reason="VGG16 is being downloaded: 212 of 553 MB. Until then, efficientnet_lite2 answers."))


def test_photos_that_are_chosen(visit, tmp_path):
    page = visit()
    path = tmp_path / "photo.png"
    path.write_bytes(picture())
    page.set_input_files("#fileImage", [path])
    check(page)


def test_a_result_and_why_and_what_was_said_of_it(visit, tmp_path):
    page = visit()
    send(page, tmp_path, picture("lime"))
    check(page)
    page.locator("a.why").first.click()
    page.wait_for_selector("img.heat")
    check(page)
    page.fill("input[name=label]", "a lizard")
    page.locator(".feedback button[value=no]").click()
    page.wait_for_selector("text=Thank you")
    check(page)
    page.click("text=Delete photo and result")
    page.wait_for_selector("text=were deleted")
    check(page)


def test_many_results_and_errors(visit, tmp_path):
    page = visit()
    send(page, tmp_path, picture("red"), b"no photo", picture("blue"))
    check(page)


def test_an_answer_that_is_not_sure(visit, tmp_path):
    page = visit(DoubtfulModel())
    send(page, tmp_path, picture())
    expect(page.locator("article h2").first).to_contain_text("Not sure")
    check(page)


def test_none_of_these_and_similar_photos(visit, tmp_path):
    thumbnails = tmp_path / "model" / "thumbnails"
    thumbnails.mkdir(parents=True)
    for photo in SIMILAR[:2]:
        (thumbnails / photo.thumbnail).write_bytes(picture(format="JPEG"))
    page = visit(ComparingModel(), model=str(thumbnails.parent))
    send(page, tmp_path, picture("#404041"))
    expect(page.locator("#live")).to_contain_text("This does not look like any of the 3 things this model knows")
    expect(page.locator(".similar img")).to_have_count(2)
    check(page)


def test_a_broader_term_and_several_photos_of_one_thing(visit, tmp_path):
    page = visit(ToyModel(terms=TERMS))
    send(page, tmp_path, picture("olive"), picture("red"))
    expect(page.locator("#live")).to_contain_text("Surely a mammal")
    check(page)
    page.set_input_files("#fileImage", [tmp_path / "photo-0.png", tmp_path / "photo-1.png"])
    page.check("text=These photos show one thing")
    check(page)
    page.click("text=Predict")
    page.wait_for_selector("text=Together, the photos show a red fox")
    check(page)


def test_a_page_that_is_not_there(visit):
    page = visit()
    page.goto(page.url + "nowhere")
    check(page)
