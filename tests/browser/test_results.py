"""Everything a visitor can do with a result, with and without JavaScript: example, heat map, feedback, link, delete."""

import re

import pytest
from playwright.sync_api import expect
from support.browsers import RESULT, choose, colours, predict, wait_for_all
from support.needs import needs_chromium

pytestmark = needs_chromium


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without JavaScript"])
def page(open_page, request):
    return open_page(java_script_enabled=request.param, permissions=["clipboard-read", "clipboard-write"])


@pytest.fixture
def answered(page):
    page.set_input_files("#fileImage", colours("lime"))
    page.click("text=Predict")
    page.wait_for_selector(RESULT)
    return page


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


def test_feedback_is_thanked_for(answered):
    answered.locator(".feedback input[name=label]").fill("a lizard")
    answered.locator(".feedback button[value=no]").click()
    expect(answered.locator("[role=status]")).to_contain_text("it is a lizard")
    expect(answered.locator(".feedback")).to_have_count(0)


def test_the_link_leads_to_the_same_answer_and_delete_ends_it(answered):
    answered.click("text=Link to this result")
    expect(answered).to_have_url(re.compile("/results/[0-9a-f]{32}$"))
    kept = answered.url
    expect(answered.locator("article h2")).to_contain_text("Egyptian cat")
    answered.click("text=Delete photo and result")
    expect(answered.locator("[role=status]")).to_contain_text("were deleted")
    assert answered.goto(kept).status == 404


@pytest.mark.parametrize("width", [320, 900])
def test_the_line_for_curl_does_not_widen_the_result(open_page, width):
    page = open_page(viewport={"width": width, "height": 800})
    page.set_input_files("#fileImage", colours("lime"))
    page.click("text=Predict")
    page.click("text=This result as JSON")
    card, pre = page.locator("article.result").bounding_box(), page.locator("details pre").bounding_box()
    assert pre["x"] + pre["width"] <= card["x"] + card["width"]


def test_the_line_for_curl_names_the_site(open_page):
    page = open_page()
    page.set_input_files("#fileImage", colours("lime"))
    page.click("text=Predict")
    link = page.locator("text=Link to this result")
    line = "curl -H 'Accept: application/json' " + link.evaluate("link => link.href")
    page.click("text=This result as JSON")
    expect(page.locator("details code")).to_have_text(line)
    link.click()
    page.click("text=This result as JSON")
    expect(page.locator("details code")).to_have_text(line)


def test_the_link_can_be_copied(open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    choose(page, *colours("lime", "red"))
    predict(page)
    wait_for_all(page)
    page.locator(".copy").nth(1).click()
    page.wait_for_selector("text=Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("text=Link to this result").nth(1).evaluate("link => link.href")


def test_without_javascript_nothing_offers_to_copy(open_page):
    page = open_page(java_script_enabled=False)
    page.set_input_files("#fileImage", colours("lime"))
    page.click("text=Predict")
    page.wait_for_selector(RESULT)
    expect(page.locator(".copy").first).to_be_hidden()
