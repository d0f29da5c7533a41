"""Many photos dropped on the page in Chromium: `python bench/dropped.py FOLDER [PHOTOS]`.

Drops a folder that holds the photos of FOLDER as often as it takes to make 1,000, or PHOTOS. The connection is cut
once, and "Retry all" sends the rest. Prints how long that took and the memory of the page's process; exits 1 unless
every row of the CSV file is what its photo gets alone.
"""

import csv
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright
from serving import Site, running
from zipped import ask, memory_mb

EVERY_S = 1  # between looks at the page
CUT_AFTER = 0.4  # of the photos


def main() -> int:
    photos = sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_file())
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    with TemporaryDirectory() as name, running({"CLASSIFIER_UPLOADS": f"{name}/uploads"}) as site:
        alone = {path.name: ask(site, path)[0] for path in photos}
        folder = Path(name, "photos")
        folder.mkdir()
        for n in range(number):
            shutil.copy(photos[n % len(photos)], folder / f"{n:04}-{photos[n % len(photos)].name}")
        rows = dropped(site, folder)
    right = sum(alone[row["filename"].partition("-")[2]] == row["label"] for row in rows)
    print(f"{len(rows)} rows, {right} as the photo alone")
    return int(len(rows) != number or right != number)


def dropped(site: Site, folder: Path) -> list[dict[str, str]]:
    """The rows of the CSV file that the page offers after all photos of a folder were dropped on it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(site.url)
        began, idle_mb = time.monotonic(), page_mb(page)
        session = page.context.new_cdp_session(page)
        data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 300, "data": data})
        page.wait_for_selector(".many")
        most_mb = answered(page, cut=True)
        page.get_by_role("button", name="Retry all").click()
        most_mb = max(most_mb, answered(page))
        print(f"{page.inner_text('.summary p')}: {time.monotonic() - began:.0f} s")
        session.send("HeapProfiler.collectGarbage")
        print(
            f"the page's process: {idle_mb:.0f} MB before, {most_mb:.0f} MB at most, {page_mb(page):.0f} MB at the end"
        )
        with page.expect_download() as download:
            page.click("text=Download CSV")
        with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as table:
            return list(csv.DictReader(table))


def answered(page: Page, cut: bool = False) -> float:
    """The most memory seen until all photos are answered, in MB; `cut` takes the connection away for a moment."""
    most_mb = 0.0
    while page.get_attribute("#answers", "aria-busy") == "true":
        page.wait_for_timeout(1000 * EVERY_S)
        most_mb = max(most_mb, page_mb(page))
        if cut and page.locator(".big").evaluate("bar => bar.position") > CUT_AFTER:
            cut = False
            page.context.set_offline(True)
            page.wait_for_timeout(1000 * EVERY_S)
            page.context.set_offline(False)
    return most_mb


def page_mb(page: Page) -> float:
    """Resident memory of the largest of the browser's processes for pages, in MB, with what it shares with others."""
    assert page.context.browser
    session = page.context.browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return max(memory_mb(process["id"], "VmRSS") for process in processes if process["type"] == "renderer")


if __name__ == "__main__":
    sys.exit(main())
