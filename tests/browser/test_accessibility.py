"""axe-core finds no barrier in any state of the page, light or dark."""

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import expect
from support.browsers import wait_for_all
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
    wait_for_all(page)


def check(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_the_empty_page(visit):
    check(visit(notice="A line for everyone."))


def test_a_fallback_that_answers(visit):
    check(visit(reason="VGG16 is being downloaded: 212 of 553 MB. Until then, efficientnet_lite2 answers."))


def test_photos_under_way(visit, tmp_path):
    page = visit()
    page.route("**/?view=rows", lambda route: None)  # never answered
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(picture())
    page.set_input_files("#fileImage", [*tmp_path.glob("*.png")])
    expect(page.get_by_text("Being sent")).to_have_count(2)
    check(page)
    page.click("text=Stop")
    expect(page.locator(".summary p")).to_contain_text("1 not sent")
    check(page)


def test_a_result_and_why_and_what_was_said_of_it(visit, tmp_path):
    page = visit()
    send(page, tmp_path, picture("lime"))
    check(page)
    page.locator("a.why").first.click()
    page.wait_for_selector("img.heat")
    check(page)
    page.click("text=None of these")
    page.fill("input[name=label]", "a lizard")
    check(page)
    page.locator(".feedback button[value=no]").click()
    page.wait_for_selector("text=Thank you")
    check(page)
    page.click("text=Delete")
    page.wait_for_selector("text=were deleted")
    check(page)


def test_many_results_and_errors(visit, tmp_path):
    page = visit()
    send(page, tmp_path, picture("red"), b"no photo", picture("blue"))
    check(page)
    page.locator(".many").get_by_text("Right", exact=True).first.click()
    page.wait_for_selector("text=Undo")
    page.click("text=Table")
    check(page)


def test_looking_closer_one_of_many_opened_and_the_recent_photos(visit, tmp_path):
    page = visit()
    send(page, tmp_path, picture("lime"), picture("red"))
    page.get_by_role("link", name="Wrong").first.click()
    page.get_by_role("dialog").wait_for()
    check(page)
    page.keyboard.press("Escape")
    page.get_by_role("link", name="What is in this photo?").click()
    page.locator(".recent").wait_for()
    check(page)
    send(page, tmp_path, picture("lime"))
    page.click("text=Look closer")
    page.locator(".frame").wait_for()
    check(page)


def test_the_live_camera_without_a_camera(visit):
    page = visit()
    page.click("text=Live camera")
    expect(page.locator("article h2")).to_contain_text("please allow it")
    check(page)


def test_an_answer_that_is_not_sure(visit, tmp_path):
    page = visit(DoubtfulModel())
    send(page, tmp_path, picture())
    expect(page.locator("article h2").first).to_contain_text("Not sure")
    check(page)


@pytest.fixture
def stranger(visit, tmp_path):
    """Show a photo of none of a model's classes, and so many of the photos most like it."""

    def show(similar):
        thumbnails = tmp_path / "model" / "thumbnails"
        thumbnails.mkdir(parents=True)
        for photo in SIMILAR[:similar]:
            (thumbnails / photo.thumbnail).write_bytes(picture(format="JPEG"))
        page = visit(ComparingModel(), model=str(thumbnails.parent))
        send(page, tmp_path, picture("#404041"))
        expect(page.locator(".similar img")).to_have_count(similar)
        return page

    return show


def test_none_of_these_and_similar_photos(stranger):
    page = stranger(similar=2)
    expect(page.locator("#live")).to_contain_text("This does not look like any of the 3 things this model knows")
    check(page)


def test_similar_photos_do_not_widen_a_narrow_page(stranger):
    page = stranger(similar=2)
    page.set_viewport_size({"width": 320, "height": 700})
    page.locator(".similar").evaluate("strip => strip.append(...[...strip.children].map(li => li.cloneNode(true)))")
    assert page.locator(".similar").evaluate("strip => strip.scrollWidth > strip.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_a_broader_term_and_several_photos_of_one_thing(visit, tmp_path):
    page = visit(ToyModel(terms=TERMS))
    page.check("text=These photos show one thing")
    check(page)
    for name in ("olive", "red"):
        (tmp_path / f"{name}.png").write_bytes(picture(name))
    page.set_input_files("#fileImage", [*tmp_path.glob("*.png")])
    page.wait_for_selector("text=Together, the photos show a red fox")
    check(page)
    page.get_by_role("link", name="What is in this photo?").click()
    send(page, tmp_path, picture("olive"))
    expect(page.locator("#live")).to_contain_text("Surely a mammal")
    check(page)


def test_a_page_that_is_not_there(visit):
    page = visit()
    page.goto(page.url + "nowhere")
    check(page)
