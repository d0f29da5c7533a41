"""What the form does without JavaScript: zip files, a table to take home, and the list of recent photos."""

import csv

import pytest
from playwright.sync_api import expect
from support.browsers import RESULT, ROW
from support.needs import needs_chromium
from support.pictures import picture
from support.zip_files import zipped

pytestmark = needs_chromium


@pytest.fixture
def page(open_page):
    return open_page(java_script_enabled=False)


def send_zip(page):
    archive = zipped(("trip/a.png", picture("lime")), ("trip/b.png", picture("red")))
    page.set_input_files("#fileImage", {"name": "photos.zip", "mimeType": "application/zip", "buffer": archive})
    page.click("form.upload [type=submit]")
    page.wait_for_selector(ROW)


def test_a_zip_file_is_answered_and_its_table_can_be_taken_home(page):
    send_zip(page)
    with page.expect_download() as download:
        page.click("text=Download CSV")
    assert download.value.suggested_filename == "results.csv"
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        rows = [(row["filename"], row["label"]) for row in csv.DictReader(file)]
    assert rows == [("trip/a.png", "Egyptian_cat"), ("trip/b.png", "red_fox")]


def test_recent_photos_are_listed_lead_to_their_results_and_are_forgotten(page):
    send_zip(page)
    page.get_by_role("link", name="What is in this photo?").click()
    links = page.locator(".recent li a")
    expect(links).to_have_count(2)
    links.first.click()
    expect(page.locator(RESULT)).to_contain_text("Egyptian cat")
    page.get_by_role("link", name="What is in this photo?").click()
    page.click("text=Forget all")
    expect(page.locator(".recent")).to_have_count(0)
    assert page.context.cookies() == []
