"""Many photos with static/site.js: folders, the table, the CSV file, interruptions, and a great number of them."""

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.browsers import ROW, WAITING, answer, colours, file, send, wait_for_all
from support.needs import needs_chromium
from support.pictures import picture
from support.zip_files import zipped

pytestmark = needs_chromium


@pytest.fixture
def page(open_page):
    return open_page()


def drop_folder(page: Page, folder: Path) -> None:
    """Drop a folder of the disk on the page, as the file manager does; scripts cannot make such an event."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": data})


def downloaded(page: Page) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.click("text=Download CSV")
    assert download.value.suggested_filename == "results.csv"
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as table:
        return list(csv.DictReader(table))


def test_a_dropped_folder_goes_in_photo_by_photo(page, tmp_path):
    (tmp_path / "trip" / "beach").mkdir(parents=True)
    (tmp_path / "trip" / "red.png").write_bytes(picture("red"))
    (tmp_path / "trip" / "notes.txt").write_text("words")
    (tmp_path / "trip" / ".hidden.png").write_bytes(picture("red"))
    (tmp_path / "trip" / "beach" / "lime.png").write_bytes(picture("lime"))
    drop_folder(page, tmp_path / "trip")
    page.wait_for_selector(ROW)
    wait_for_all(page)
    assert sorted(page.locator(f"{ROW} .filename").all_inner_texts()) == ["lime.png", "red.png"]


def test_a_zip_file_becomes_its_photos(page):
    archive = zipped(("trip/a.png", picture("lime")), ("trip/b.png", picture("red")))
    answer(page, file("photos.zip", archive, "application/zip"))
    expect(page.locator(f"{ROW} .filename")).to_have_text(["trip/a.png", "trip/b.png"])


def test_the_table_is_sorted_by_its_heads_and_taken_home_in_that_order(page):
    answer(page, *colours("red", "lime", "maroon"), file("Größe.txt", b"words"))
    page.click("text=Table")
    names = page.locator(f"{ROW} .filename")
    page.get_by_role("button", name="How sure").click()
    expect(page.get_by_role("columnheader", name="How sure")).to_have_attribute("aria-sort", "ascending")
    expect(names).to_have_text(["Größe.txt", "maroon.png", "red.png", "lime.png"])
    page.get_by_role("button", name="Answer").press("Enter")
    page.get_by_role("button", name="Answer").press("Enter")
    expect(page.get_by_role("columnheader", name="Answer")).to_have_attribute("aria-sort", "descending")
    expect(names.last).to_have_text("Größe.txt")
    rows = downloaded(page)
    assert [row["filename"] for row in rows] == names.all_inner_texts()
    assert rows[0]["label"] == "red_fox"
    assert rows[0]["url"].startswith("/results/")
    assert "not an image" in rows[-1]["error"]


def test_recent_photos_are_a_list_too(page, site):
    answer(page, *colours("red", "lime"))
    page.goto(site[0])
    page.get_by_role("link", name="All 2").click()
    expect(page.locator(".summary p")).to_have_text("2 photos: 2 named")
    send(page, *colours("blue"))
    wait_for_all(page)
    expect(page.locator(".summary p")).to_have_text("3 photos: 3 named")
    assert {row["label"] for row in downloaded(page)} == {"red_fox", "Egyptian_cat", "blue_jay"}


def test_what_could_not_be_sent_is_sent_by_retry_all(page, engine):
    page.context.set_offline(True)
    answer(page, *colours("red", "lime", "blue"))
    expect(page.locator(".summary p")).to_have_text("3 photos: 3 not sent")
    page.context.set_offline(False)
    page.click("text=Retry all")
    wait_for_all(page)
    expect(page.locator(".summary p")).to_have_text("3 photos: 3 named")
    assert sorted(engine.arrived) == sorted(map(picture, ("red", "lime", "blue")))


@pytest.mark.parametrize("width", [320, 360, 390, 1200])
def test_what_could_not_be_sent_has_room_for_the_reason_and_the_buttons(open_page, width):
    page = open_page(viewport={"width": width, "height": 800})
    page.context.set_offline(True)
    answer(page, *colours("red", "lime"))
    reason, buttons = [page.locator(WAITING).first.locator(part).bounding_box() for part in (".rough", ".acts")]
    assert reason["y"] + reason["height"] <= buttons["y"]


def test_stop_keeps_what_is_answered(page, engine):
    engine.open.clear()
    send(page, *colours("red", "lime", "blue"))
    expect(page.locator(f"{WAITING} .state").last).to_have_text("Waiting")
    page.click("text=Stop")
    engine.open.set()
    wait_for_all(page)
    expect(page.locator(".summary p")).to_have_text("3 photos: 2 named, 1 not sent")


def test_many_photos_keep_few_previews_and_are_announced_together(page):
    """A thousand are answered in the same way (docs/performance.md); they would take too long here."""
    answer(page, *[file(f"{number}.png", picture("red")) for number in range(48)])
    expect(page.locator(".summary p")).to_have_text("48 photos: 48 named")
    assert page.locator("canvas").count() < 32
    assert page.locator("#live p").all_inner_texts() == ["48 photos: 48 named"]
    assert len(downloaded(page)) == 48


def test_an_answer_adds_a_small_row_and_leaves_the_other_rows_alone(open_page):
    """A thousand rows that are laid out again with each answer, or documents that are kept, would fill the memory."""
    # With smooth scrolling, the rows on the way are laid out as often as this machine has time for.
    page = open_page(reduced_motion="reduce", viewport={"width": 320, "height": 240})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def counted() -> dict[str, float]:
        page.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        return {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}

    answer(page, *[file(f"{number}.png", picture("red")) for number in range(48)])
    answer(page, file("last.png", picture("blue")))  # scrolls to the end of the page
    session.send("HeapProfiler.collectGarbage")
    before = counted()
    for colour in colours("lime", "red", "blue", "lime"):
        answer(page, colour)
    laid_out = counted()["LayoutObjects"] - before["LayoutObjects"]
    session.send("HeapProfiler.collectGarbage")
    after = counted()
    assert laid_out < 4 * 96
    assert after["Nodes"] - before["Nodes"] < 4 * 64
    assert after["Documents"] == before["Documents"]
