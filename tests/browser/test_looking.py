"""Looking closer at a part of a photo, and the live camera."""

import pytest
from playwright.sync_api import expect
from support.browsers import BROWSER_MS, RESULT, answer, colours, file, wait_for_all
from support.needs import CHROMIUM, needs_chromium
from support.pictures import encoded
from support.sites import SpyingEngine, served

pytestmark = needs_chromium


@pytest.fixture
def halves():
    """A photo whose left half is red and whose right half is blue."""
    from PIL import Image

    image = Image.new("RGB", (400, 300), "red")
    image.paste("blue", (200, 0, 400, 300))
    return file("halves.png", encoded(image))


def test_a_part_is_chosen_by_keyboard_and_asked_for(open_page, halves):
    page = open_page()
    answer(page, halves)
    page.get_by_role("button", name="Look closer").press("Enter")
    frame = page.get_by_role("application", name="Part of the photo")
    expect(frame).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Look closer")).to_be_focused()
    page.keyboard.press("Enter")
    expect(frame).to_be_focused()
    for _ in range(13):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator(f"{RESULT} h2")).to_contain_text("a blue jay")
    expect(page.locator(f"{RESULT} .filename")).to_have_text("halves.png")
    size = page.locator(f"{RESULT} .photo img").evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert size == [200, 144]


def test_a_part_is_chosen_with_the_pointer(open_page, halves):
    page = open_page()
    answer(page, halves)
    page.click("text=Look closer")
    frame = page.get_by_role("application", name="Part of the photo")
    before = frame.bounding_box()
    page.mouse.move(before["x"] + 20, before["y"] + 20)
    page.mouse.down()
    page.mouse.move(before["x"] + 500, before["y"] + 20)
    page.mouse.up()
    corner = page.locator(".corner").bounding_box()
    page.mouse.move(corner["x"] + 10, corner["y"] + 10)
    page.mouse.down()
    page.mouse.move(corner["x"] - 50, corner["y"] - 40)
    page.mouse.up()
    after = frame.bounding_box()
    assert (after["width"], after["height"]) == pytest.approx((before["width"] - 60, before["height"] - 50), abs=2)
    assert after["x"] > before["x"] + 20
    page.get_by_role("button", name="What is it?").click()
    expect(page.locator(f"{RESULT} h2")).to_contain_text("a blue jay")


@pytest.fixture
def with_camera(browser, tmp_path):
    """A page in a browser with a camera that shows a green picture, its site's engine, and the folder of results."""
    flags = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    engine = SpyingEngine()
    with (
        served(engine, tmp_path / "uploads", keep_hours=1) as url,
        browser.browser_type.launch(executable_path=CHROMIUM, args=flags) as another,
    ):
        page = another.new_page()
        page.set_default_timeout(BROWSER_MS)
        page.goto(url)
        yield page, engine, tmp_path / "uploads"


def test_the_camera_is_asked_about_frame_by_frame_and_only_what_is_wanted_is_kept(with_camera):
    page, engine, uploads = with_camera
    page.get_by_role("button", name="Live camera").click()
    page.wait_for_function("() => document.querySelector('[data-frames]')?.dataset.frames > 5")
    expect(page.locator("article h2")).to_have_text("Egyptian cat")
    assert engine.most_at_once == 1
    assert not [*uploads.glob("*.jpg")]
    page.get_by_role("button", name="Turn the camera off").click()
    expect(page.locator("article h2")).to_have_text("The camera is off")
    assert page.evaluate("document.querySelector('video').srcObject.getTracks()[0].readyState") == "ended"
    page.get_by_role("button", name="Turn the camera on").click()
    expect(page.locator("article h2")).to_have_text("Egyptian cat")
    page.get_by_role("button", name="Keep this one").click()
    wait_for_all(page)
    expect(page.locator(f"{RESULT} h2")).to_contain_text("an Egyptian cat")
    assert len([*uploads.glob("*.jpg")]) == 1


def test_a_camera_that_may_not_be_used_is_explained(open_page):
    page = open_page()
    page.get_by_role("button", name="Live camera").click()
    expect(page.locator("article h2")).to_contain_text("please allow it")
    answer(page, *colours("red"))
    expect(page.locator(f"{RESULT} h2")).to_contain_text("a red fox")
