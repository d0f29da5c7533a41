"""Take the pictures in docs/images again: `make screenshots`, with CLASSIFIER_* set to a model with real weights.

The photos are the ones that scripts/draw_examples.py draws.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
EXAMPLES = ROOT / "static" / "examples"
sys.path.insert(0, str(ROOT / "bench"))
from serving import running  # noqa: E402  (bench/ is no package)


def main() -> None:
    environ = {"CLASSIFIER_UPLOADS": tempfile.mkdtemp()}
    with running(environ) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        take_all(browser, site.url)
        browser.close()
    shutil.rmtree(environ["CLASSIFIER_UPLOADS"])


def take_all(browser: Browser, url: str) -> None:
    take("home", opened(browser, url))
    take("page", answered(opened(browser, url), "clock"))
    take("why", explained(answered(opened(browser, url), "balloon")))
    take("many", answered(opened(browser, url), "balloon", "clock", "envelope"))
    take("dark", answered(opened(browser, url, color_scheme="dark"), "envelope"))
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    take("phone", answered(opened(browser, url, **phone), "clock"))


def opened(browser: Browser, url: str, **context: object) -> Page:
    """A page of the site, animations off."""
    page = browser.new_page(**{"viewport": {"width": 1000, "height": 700}, "reduced_motion": "reduce", **context})
    page.goto(url)
    return page


def answered(page: Page, *names: str) -> Page:
    """The page with the answers to some of the examples."""
    page.set_input_files("#fileImage", [EXAMPLES / f"{name}.jpg" for name in names])
    page.wait_for_selector("#answers[aria-busy=false]")
    return page


def explained(page: Page) -> Page:
    page.locator("a.why").first.click()
    page.wait_for_function("() => document.querySelector('img.heat')?.complete")
    return page


def take(name: str, page: Page) -> None:
    page.screenshot(path=IMAGES / f"{name}.png", full_page=True)
    page.close()


if __name__ == "__main__":
    main()
