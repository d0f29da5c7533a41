"""The form with static/site.js, in Chromium, in front of the toy model."""

import re
from io import BytesIO

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from support.browsers import (
    BROWSER_MS,
    PLACE,
    REFUSED,
    RESULT,
    ROW,
    WAITING,
    answer,
    colours,
    dispatch,
    file,
    send,
    send_by_form,
    wait_for_all,
)
from support.models import ToyModel
from support.needs import needs_chromium
from support.pictures import encoded, picture, textured
from support.sites import SpyingEngine, served
from support.waiting import wait_until

from classifier.serving.engine import LocalEngine
from web.settings import ROOT

ORIENTATION = 0x0112  # the EXIF tag
ROTATED_RIGHT = 6
pytestmark = needs_chromium


@pytest.fixture
def site_that_keeps_nothing(tmp_path):
    with served(LocalEngine(ToyModel()), tmp_path, keep_hours=0) as url:
        yield url


@pytest.fixture
def page(open_page):
    return open_page()


def photograph(size: tuple[int, int] = (2400, 1600)) -> Image.Image:
    """Return a photo with texture and noise, so that its JPEG is as large as a camera's."""
    noise = Image.effect_noise(size, 60)
    return Image.blend(textured(size), Image.merge("RGB", [noise] * 3), 0.3)


def arrived(engine: SpyingEngine) -> Image.Image:
    (sent,) = engine.arrived
    return Image.open(BytesIO(sent))


def test_a_chosen_photo_is_shown_answered_and_has_its_address(page, engine):
    engine.open.clear()
    send(page, *colours("lime"))
    assert page.locator("article.pending canvas").bounding_box()["height"] > 50
    engine.open.set()
    page.wait_for_url(re.compile("/results/[0-9a-f]{32}$"))
    expect(page.locator(f"{RESULT} h2")).to_have_text("The image you uploaded is an Egyptian cat (99.22%)")
    expect(page.locator(f"{RESULT} img")).to_have_js_property("naturalWidth", 320)
    expect(page).to_have_title(re.compile("^Egyptian cat"))


def test_the_address_shows_the_same_again_and_back_brings_the_form(page, site):
    answer(page, *colours("lime"))
    page.reload()
    expect(page.locator(f"{RESULT} h2")).to_contain_text("an Egyptian cat")
    page.go_back()
    page.wait_for_selector(".hello")
    expect(page).to_have_url(site[0])
    answer(page, *colours("blue"))
    page.go_back()
    page.wait_for_selector(".hello")
    expect(page).to_have_url(site[0])


def test_a_jump_within_the_page_keeps_the_answers(page):
    answer(page, *colours("red", "lime"))
    page.evaluate("location.hash = 'main'")
    page.go_back()
    expect(page.locator(ROW)).to_have_count(2)


def test_dropped_and_pasted_photos_join_the_chosen_ones_and_can_be_left_out(page, engine):
    engine.open.clear()
    send(page, *colours("red", "blue"))
    dispatch(page, "dragover", *colours("lime"))
    expect(page.locator("body.dropping")).to_have_count(1)
    dispatch(page, "drop", *colours("lime"))
    expect(page.locator("body.dropping")).to_have_count(0)
    dispatch(page, "paste", *colours("blue"))
    expect(page.locator(".many .filename")).to_have_text(["red.png", "blue.png", "lime.png", "blue.png"])
    page.locator(WAITING).nth(2).get_by_role("button", name="Leave out").press("Enter")
    engine.open.set()
    wait_for_all(page)
    assert sorted(engine.arrived) == sorted([picture("red"), picture("blue"), picture("blue")])


def test_photos_of_one_thing_get_one_answer(page):
    page.get_by_label("These photos show one thing").check()
    send(page, *colours("red", "maroon"))
    page.wait_for_selector("text=Together, the photos show a red fox")
    expect(page.locator(ROW)).to_have_count(2)


def test_dragging_away_ends_the_drop_state_and_text_never_begins_it(page):
    dispatch(page, "dragover")
    expect(page.locator("body.dropping")).to_have_count(0)
    dispatch(page, "dragover", file())
    dispatch(page, "dragleave", file())
    expect(page.locator("body.dropping")).to_have_count(0)


def test_answers_stand_in_the_order_of_choice_and_are_all_announced(page):
    names = ["blue", "red", "lime", "red", "blue"]
    answer(page, *colours(*names))
    expect(page.locator(f"{ROW} .filename")).to_have_text([f"{name}.png" for name in names])
    expect(page.locator(".summary p")).to_have_text("5 photos: 5 named")
    expect(page).to_have_url(re.compile("/$"))
    announced = page.locator("#live").inner_text()
    assert "red.png: The image you uploaded is a red fox" in announced
    assert announced.count("The image you uploaded is") == 5


def test_two_answers_are_asked_for_at_a_time(page, engine):
    engine.open.clear()
    send(page, *colours("blue", "red", "lime"))
    expect(page.locator(f"{WAITING} .state")).to_have_text(["Being looked at …", "Being looked at …", "Waiting"])
    wait_until(lambda: engine.at_once == 2, BROWSER_MS / 1000)  # sent is not yet received
    engine.open.set()
    wait_for_all(page)
    assert engine.most_at_once == 2
    expect(page.locator(ROW)).to_have_count(3)


def test_a_broken_photo_among_good_ones_has_its_error_in_its_place(page):
    answer(page, *colours("red"), file("broken.png", picture()[:90]), file("notes.txt", b"words"), *colours("blue"))
    texts = page.locator(ROW).all_inner_texts()
    assert "red fox" in texts[0]
    assert "broken.png" in texts[1]
    assert "This image is damaged or incomplete" in texts[1]
    assert "notes.txt" in texts[2]
    assert "This file is not an image" in texts[2]
    assert "blue jay" in texts[3]
    expect(page.locator(".summary p")).to_have_text("4 photos: 2 named, 2 could not be read")
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    page.get_by_role("button", name="Leave out notes.txt").click()
    expect(page.locator(".summary p")).to_have_text("3 photos: 2 named, 1 could not be read")


def test_answers_that_are_not_kept_share_no_ids_and_open_in_place(open_page, site_that_keeps_nothing):
    page = open_page(site_that_keeps_nothing)
    answer(page, *colours("red", "blue"))
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))
    page.locator(f"{ROW} summary").last.click()
    expect(page.locator(f"{ROW} .classes").last).to_contain_text("red fox")
    page.locator(f"{ROW} img").last.scroll_into_view_if_needed()
    expect(page.locator(f"{ROW} img").last).to_have_js_property("naturalWidth", 320)


def test_while_it_is_asked_for_a_photo_has_its_card_with_its_progress(page, engine):
    engine.open.clear()
    send(page, *colours("red"))
    page.wait_for_selector("text=Being looked at")
    card = page.locator("article.pending[aria-busy=true]")
    expect(card.get_by_role("progressbar", name="Sent")).to_be_visible()
    expect(card.get_by_role("progressbar", name="Sent")).to_have_js_property("value", 1)
    before = card.locator("canvas").evaluate(PLACE)
    engine.open.set()
    wait_for_all(page)
    assert page.locator(f"{RESULT} img").first.evaluate(PLACE) == pytest.approx(before, abs=1)


@pytest.mark.parametrize("width", [320, 412, 600, 768, 1280])
def test_nothing_moves_when_the_answer_comes(open_page, engine, width):
    page = open_page(viewport={"width": width, "height": 900})
    for colours_chosen in (["red"], ["red", "lime"]):
        engine.open.clear()
        send(page, *colours(*colours_chosen))
        expect(page.get_by_text("Being looked at")).to_have_count(len(colours_chosen))
        before = page.locator("footer").evaluate(PLACE)
        engine.open.set()
        wait_for_all(page)
        assert page.locator("footer").evaluate(PLACE) == pytest.approx(before, abs=8)


def test_the_preview_stays_until_the_picture_of_the_answer_is_there(page):
    held = []
    page.route("**/image", lambda route: held.append(route))
    send(page, *colours("red"))
    while not held:  # Playwright calls back only while one of its calls runs
        page.evaluate("new Promise(requestAnimationFrame)")
    expect(page.locator("article.pending canvas")).to_be_visible()
    held[0].continue_()
    wait_for_all(page)
    expect(page.locator(f"{RESULT} img")).to_have_js_property("complete", True)


def test_in_the_end_the_answer_or_their_sum_has_the_focus(page):
    answer(page, *colours("red"))
    assert page.evaluate("document.activeElement.textContent").startswith("The image you uploaded is a red fox")
    answer(page, file("notes.txt", b"words"), *colours("red"))
    assert page.evaluate("document.activeElement.textContent") == "2 photos: 1 named, 1 could not be read"


def test_focus_stays_where_the_visitor_took_it(page, engine):
    engine.open.clear()
    send(page, *colours("red"))
    page.wait_for_selector("text=Being looked at")
    page.focus("#fileImage")
    engine.open.set()
    wait_for_all(page)
    assert page.evaluate("document.activeElement.id") == "fileImage"


def test_a_large_photo_is_reduced_and_keeps_its_name(page, engine):
    large = encoded(photograph(), "JPEG", quality=95)
    answer(page, file("large.png", large))
    image = arrived(engine)
    assert (image.format, image.size) == ("JPEG", (1024, 683))
    assert len(engine.arrived[0]) < len(large) / 4
    expect(page.locator(f"{RESULT} .filename")).to_have_text("large.png")


def test_a_reduced_photo_is_upright_and_what_was_transparent_is_white(page, engine):
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED_RIGHT
    turned = photograph()
    turned.paste("red", (0, 0, 2400, 400))
    answer(page, file("turned.jpg", encoded(turned, "JPEG", exif=exif, quality=95), "image/jpeg"))
    image = arrived(engine)
    assert image.size == (683, 1024)
    assert ORIENTATION not in image.getexif()
    assert image.getpixel((640, 500)) == pytest.approx((254, 0, 0), abs=8)  # the top went to the right

    engine.arrived.clear()
    clear = photograph((1200, 800)).convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 1200, 200))
    answer(page, file("clear.png", encoded(clear)))
    assert arrived(engine).getpixel((500, 50)) == pytest.approx((255, 255, 255), abs=3)


def test_a_panorama_keeps_the_height_that_the_model_looks_at(page, engine):
    answer(page, file("wide.jpg", encoded(photograph((4000, 800)), "JPEG", quality=95), "image/jpeg"))
    assert arrived(engine).size == (2560, 512)


UNREDUCED = {
    "small in bytes": (lambda: encoded(textured((1600, 1200)), "JPEG"), "image/jpeg"),
    "small in pixels": (lambda: encoded(photograph((1000, 800)), "PNG"), "image/png"),
    "a GIF": (lambda: encoded(photograph((1400, 1000)), "GIF"), "image/gif"),
    "unknown to the browser": (lambda: encoded(photograph((1400, 1000)), "TIFF"), "image/tiff"),
    "cut short": (lambda: encoded(photograph(), "JPEG", quality=95)[:600_000], "image/jpeg"),
}


@pytest.mark.parametrize(("draw", "type"), UNREDUCED.values(), ids=UNREDUCED)
def test_other_photos_are_sent_as_they_are(page, engine, draw, type):
    content = draw()
    answer(page, file("photo", content, type))
    assert engine.arrived == [content]


def ask_a_busy_site(page: Page, engine: SpyingEngine, refusals: int) -> None:
    """Send a photo, which is refused and sent again after the time that the site asks for."""
    page.clock.install()
    engine.refusals = refusals
    send(page, *colours("red"))
    page.wait_for_selector("text=trying again in 2 s")
    page.clock.run_for(2000)
    wait_for_all(page)


def test_a_busy_site_is_asked_again_once(page, engine):
    ask_a_busy_site(page, engine, refusals=1)
    expect(page.locator(RESULT)).to_have_count(1)


def test_a_site_that_stays_busy_says_so_and_can_be_asked_again(page, engine):
    ask_a_busy_site(page, engine, refusals=2)
    expect(page.locator(REFUSED)).to_contain_text("More photos are waiting")
    page.click("text=Retry")
    page.wait_for_selector(RESULT)


def test_without_a_network_one_sentence_says_so_and_retry_works(page):
    page.context.set_offline(True)
    send(page, *colours("red"))
    wait_for_all(page)
    expect(page.locator(REFUSED)).to_have_text("This could not be sent; please check the connection and try again.")
    assert page.evaluate("document.activeElement.textContent") == "Retry"
    page.keyboard.press("Enter")
    wait_for_all(page)
    expect(page.locator(REFUSED)).to_have_count(1)
    page.context.set_offline(False)
    page.keyboard.press("Enter")
    wait_for_all(page)
    expect(page).to_have_url(re.compile("/results/"))
    expect(page.locator(REFUSED)).to_have_count(0)
    assert page.evaluate("document.activeElement.tagName") == "H2"


def test_retry_pressed_twice_sends_the_photo_once(page, engine):
    page.context.set_offline(True)
    answer(page, *colours("red"))
    page.context.set_offline(False)
    page.get_by_role("button", name="Retry").evaluate("(button) => { button.click(); button.click(); }")
    wait_for_all(page)
    expect(page.locator(RESULT)).to_have_count(1)
    assert engine.arrived == [picture("red")]


def test_a_phone_takes_photos_with_and_without_javascript(open_page, engine):
    for script in (True, False):
        page = open_page(has_touch=True, java_script_enabled=script)
        expect(page.locator("label.take")).to_be_visible()
        page.set_input_files("#camera", [file("taken.png", picture("lime"))])
        if not script:
            page.click("button:text('What is it?')")
        page.wait_for_selector(RESULT)
    assert engine.arrived == [picture("lime")] * 2


def test_a_desk_has_no_camera_to_take(page):
    expect(page.locator("#camera")).to_be_hidden()


def test_without_javascript_the_form_answers(open_page):
    page = open_page(java_script_enabled=False)
    send_by_form(page, *colours("red", "blue"), file("notes.txt", b"words"))
    expect(page.locator(".summary p")).to_have_text("3 photos: 2 named, 1 could not be read")
    expect(page.locator(ROW)).to_have_count(3)
    expect(page.locator("tr:has(.down)")).to_contain_text("notes.txt")
    expect(page.locator(REFUSED)).to_contain_text("not an image")
    expect(page.get_by_role("columnheader", name="How sure")).not_to_be_in_viewport()
    page.get_by_text("Table").click()
    expect(page.get_by_role("columnheader", name="How sure")).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_a_narrow_page(open_page, engine, scheme):
    page = open_page(viewport={"width": 320, "height": 640}, color_scheme=scheme)
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) <= 320
    engine.open.clear()
    send(page, *colours("red"), file("a-name-without-any-place-to-break-it-" * 3, b"words"))
    page.wait_for_selector(WAITING)
    assert page.evaluate(width) <= 320
    engine.open.set()
    wait_for_all(page)
    assert page.evaluate(width) <= 320
    page.get_by_text("Table").click()
    assert page.evaluate(width) <= 320


@pytest.mark.parametrize(("motion", "animation"), [("reduce", "none"), ("no-preference", "waiting")])
def test_motion_only_for_those_who_do_not_mind(open_page, engine, motion, animation):
    page = open_page(reduced_motion=motion)
    engine.open.clear()
    send(page, *colours("red"))
    assert (
        page.locator("article.pending .state").evaluate("state => getComputedStyle(state).animationName") == animation
    )
    engine.open.set()
    wait_for_all(page)


def test_script_and_style_stay_small():
    sizes = {kind: sum(path.stat().st_size for path in ROOT.glob(f"static/*.{kind}")) for kind in ("js", "css")}
    assert sizes["js"] <= 20_480
    assert sizes["css"] <= 12_288


def test_why_is_laid_over_the_picture_and_taken_away_again(page):
    answer(page, *colours("lime"))
    address = page.url
    for row in (0, 1):
        page.locator("a.why").nth(row).click()
        expect(page.locator("img.heat")).to_have_attribute("src", re.compile(rf"/why\?class={(1, 0)[row]}$"))
        expect(page.locator("a.why[aria-current]")).to_have_count(1)
        expect(page.locator("a.looked[aria-current]")).to_have_count(1)
    page.locator("a.why").nth(1).click()
    expect(page.locator("img.heat")).to_have_count(0)
    page.click("text=Where it looked")
    expect(page.locator("a.why").first).to_have_attribute("aria-current", "true")
    page.click("text=Where it looked")
    expect(page.locator("img.heat, [data-heat][aria-current]")).to_have_count(0)
    expect(page).to_have_url(address)


def test_who_asked_too_often_can_try_again_later(page):
    told = "<p class='alert alert-danger' role='alert'>You have sent more requests than this site allows.</p>"
    page.route("**/", lambda route: route.fulfill(status=429, content_type="text/html", body=told))
    send(page, *colours("red"))
    page.locator(REFUSED).wait_for()
    page.unroute("**/")
    page.locator(".retry").click()
    page.locator(f"{RESULT} h2").wait_for()
    expect(page.locator(REFUSED)).to_have_count(0)
