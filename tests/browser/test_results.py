"""Everything a visitor can do with a result, with and without JavaScript: example, heat map, feedback, link, delete."""

import re

import pytest
from playwright.sync_api import expect
from support.browsers import RESULT, ROW, answer, colours, send, send_by_form
from support.needs import needs_chromium

pytestmark = needs_chromium


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without JavaScript"])
def page(open_page, request):
    return open_page(java_script_enabled=request.param, permissions=["clipboard-read", "clipboard-write"])


@pytest.fixture
def answered(page):
    sends(page)(page, *colours("lime"))
    page.wait_for_selector(RESULT)
    return page


def sends(page):
    """Return the way in which photos are sent on a page, which depends on its scripting."""
    return send if page.evaluate("matchMedia('(scripting: enabled)').matches") else send_by_form


def test_an_example_is_answered(page):
    page.locator("form.examples button").first.click()
    expect(page.locator(f"{RESULT} h2")).to_contain_text("The image you uploaded is")
    expect(page.locator(f"{RESULT} img")).to_have_js_property("naturalWidth", 640)


def test_why_marks_the_picture(answered):
    answered.locator("a.why").nth(1).click()
    heat = answered.locator("img.heat")
    expect(heat).to_have_attribute("src", re.compile(r"/why\?class=0$"))
    assert heat.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
    boxes = [answered.locator(f".picture img >> nth={i}").bounding_box() for i in (0, 1)]
    assert boxes[0] == boxes[1]


def test_feedback_is_thanked_for_and_can_be_undone(answered):
    answered.click("text=None of these")
    answered.get_by_label("It is", exact=True).fill("a lizard")
    answered.locator(".feedback button[value=no]").click()
    expect(answered.locator("[role=status]")).to_contain_text("it is a lizard")
    expect(answered.get_by_text("None of these")).to_have_count(0)
    answered.get_by_role("button", name="The photo may be kept").click()
    expect(answered.locator("[role=status]")).to_contain_text("The photo may be kept to train the model.")
    answered.get_by_role("button", name="Undo").click()
    expect(answered.get_by_text("None of these")).to_be_visible()


def test_one_tap_says_which_class_was_right_or_that_the_photo_was_bad(answered):
    answered.get_by_role("button", name="Right: Egyptian cat").click()
    expect(answered.locator("[role=status]")).to_contain_text("Thank you: it is Egyptian cat.")
    expect(answered.get_by_role("button", name="Right: Egyptian cat")).to_have_attribute("aria-pressed", "true")
    answered.get_by_role("button", name="Right: blue jay").click()
    expect(answered.locator("[role=status]")).to_contain_text("you marked this as wrong; it is blue jay.")
    answered.get_by_role("button", name="Undo").click()
    answered.get_by_role("button", name="Bad photo").click()
    expect(answered.locator("[role=status]")).to_contain_text("bad photo")


def test_one_of_many_is_marked_opened_corrected_and_left_again(page):
    sends(page)(page, *colours("lime", "red"))
    page.locator(ROW).first.wait_for()
    page.get_by_role("button", name="Right: Egyptian cat").click()
    page.get_by_role("button", name="Undo").wait_for()
    if page.locator(".many").count():  # without JavaScript, each step is a page
        page.get_by_role("link", name="Wrong").last.click()
        opened = page.get_by_role("dialog")
        expect(opened.locator("h2")).to_contain_text("a red fox")
        expect(opened.locator(".filename")).to_have_text("red.png")
        expect(opened.get_by_label("It is", exact=True)).to_be_focused()
        page.keyboard.press("Escape")
        expect(opened).to_have_count(0)


def test_the_link_leads_to_the_same_answer_and_delete_ends_it(answered):
    if answered.url.endswith("/"):  # with JavaScript, the result has its address at once
        answered.get_by_role("link", name="Link").click()
    expect(answered).to_have_url(re.compile("/results/[0-9a-f]{32}$"))
    kept = answered.url
    answered.reload()
    expect(answered.locator("article h2")).to_contain_text("Egyptian cat")
    answered.click("text=Delete")
    expect(answered.locator("[role=status]")).to_contain_text("were deleted")
    assert answered.goto(kept).status == 404


@pytest.mark.parametrize("width", [320, 900])
def test_the_line_for_curl_names_the_site_and_does_not_widen_the_result(open_page, width):
    page = open_page(viewport={"width": width, "height": 800})
    answer(page, *colours("lime"))
    line = f"curl -H 'Accept: application/json' {page.url}"
    for _ in range(2):
        page.click("text=JSON")
        expect(page.locator("details code")).to_have_text(line)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.reload()


def test_the_link_can_be_copied(open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    answer(page, *colours("lime"))
    page.click("text=Copy link")
    page.wait_for_selector("text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_without_javascript_nothing_offers_what_needs_it(open_page):
    page = open_page(java_script_enabled=False)
    expect(page.get_by_role("button", name="Dark theme")).to_be_hidden()
    send_by_form(page, *colours("lime"))
    page.wait_for_selector(RESULT)
    expect(page.locator(".copy").first).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_follows_the_system_until_it_is_switched_which_is_remembered(open_page, scheme):
    page = open_page(color_scheme=scheme)
    brightness = "parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    assert (page.evaluate(brightness) < 64) == (scheme == "dark")
    page.get_by_role("button", name="Dark theme").click()
    for _ in range(2):
        assert (page.evaluate(brightness) < 64) == (scheme == "light")
        expect(page.get_by_role("button", name="Dark theme")).to_have_attribute(
            "aria-pressed", "true" if scheme == "light" else "false"
        )
        page.reload()
    page.get_by_role("button", name="Dark theme").click()
    assert page.context.cookies() == []
