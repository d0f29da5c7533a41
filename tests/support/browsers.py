"""The page in a browser: a visitor's actions, and where to find the answer."""

import base64

from playwright.sync_api import Page
from support.pictures import picture

BROWSER_MS = 30_000  # only a broken page ever waits so long, or one on a machine that does much else
RESULT = "article.result:not(.pending)"
ROW = ".many tbody tr:not(:has(.state))"
WAITING = ".many tbody tr:has(.state)"
REFUSED = "[role=alert]:visible"
PLACE = """(element) => {
    const {x, y, width, height} = element.getBoundingClientRect();
    return [x, y + scrollY, width, height];
}"""
FILES_OF_EVENT = """([type, files]) => {
    const transfer = new DataTransfer();
    for (const {name, mimeType, content} of files) {
        const bytes = Uint8Array.from(atob(content), (char) => char.charCodeAt(0));
        transfer.items.add(new File([bytes], name, {type: mimeType}));
    }
    const options = {bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer};
    document.body.dispatchEvent(new (type === 'paste' ? ClipboardEvent : DragEvent)(type, options));
}"""


def file(name: str = "photo.png", content: bytes | None = None, type: str = "image/png") -> dict:
    return {"name": name, "mimeType": type, "buffer": picture() if content is None else content}


def colours(*names: str) -> list[dict]:
    return [file(f"{name}.png", picture(name)) for name in names]


def send(page: Page, *files: dict) -> None:
    """Choose photos. With JavaScript they are sent at once."""
    page.set_input_files("#fileImage", files)


def send_by_form(page: Page, *files: dict) -> None:
    """Choose photos and send them without JavaScript."""
    send(page, *files)
    page.click("button:text('What is it?')")


def dispatch(page: Page, type: str, *files: dict) -> None:
    contents = [file | {"content": base64.b64encode(file["buffer"]).decode(), "buffer": None} for file in files]
    page.evaluate(FILES_OF_EVENT, [type, contents])


def wait_for_all(page: Page) -> None:
    page.wait_for_selector("#answers[aria-busy=false]")


def answer(page: Page, *files: dict) -> None:
    send(page, *files)
    wait_for_all(page)
