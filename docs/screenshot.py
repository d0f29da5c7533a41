"""Take the README's picture of the page again: `make screenshot`, with CLASSIFIER_* set to a model with real weights.

The photo is a clock that this script draws, so that no one else's picture is published here.
"""

import io
import math
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "bench"))
from serving import running  # noqa: E402  (bench/ is no package)


def main() -> None:
    with tempfile.TemporaryDirectory() as uploads, running({"CLASSIFIER_UPLOADS": uploads}) as site:
        photo = {"name": "kitchen wall.png", "mimeType": "image/png", "buffer": clock()}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1000, "height": 700})
            page.goto(site.url)
            page.set_input_files("#fileImage", [photo])
            page.click("text=Predict")
            page.wait_for_selector("progress")
            page.screenshot(path=DOCS / "page.png", full_page=True)
            browser.close()


def clock(width: int = 960, height: int = 720, scale: int = 2) -> bytes:
    """A wall clock at ten past ten, as a PNG; drawn `scale` times larger for smooth edges."""
    image = wall(width * scale, height * scale)
    centre, radius = (width * scale / 2, height * scale / 2), height * scale * 0.42
    image.paste((60, 50, 40), mask=shadow(image.size, centre, radius))
    draw = ImageDraw.Draw(image)
    draw.circle(centre, radius, fill=(58, 44, 34))
    draw.circle(centre, radius * 0.9, fill=(250, 248, 240))
    draw_dial(draw, centre, radius * 0.9)
    for degrees, length, thickness in ((305, 0.5, 0.04), (60, 0.75, 0.025)):
        draw.line([polar(centre, radius * -0.1, degrees), polar(centre, radius * length, degrees)], (20, 20, 20),
                  round(radius * thickness))  # fmt: skip
    buffer = io.BytesIO()
    image.resize((width, height), Image.Resampling.LANCZOS).save(buffer, "PNG")
    return buffer.getvalue()


def wall(width: int, height: int) -> Image.Image:
    shade = Image.linear_gradient("L").resize((width, height)).point(lambda value: 205 - value // 5)
    return Image.merge("RGB", [shade, shade.point(lambda v: v - 8), shade.point(lambda v: v - 22)])


def shadow(size: tuple[int, int], centre: tuple[float, float], radius: float) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).circle((centre[0] + radius * 0.05, centre[1] + radius * 0.07), radius, fill=140)
    return mask.filter(ImageFilter.GaussianBlur(radius * 0.05))


def draw_dial(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float) -> None:
    font = ImageFont.load_default(size=radius * 0.22)
    for minute in range(60):
        inner, thickness = (0.86, 0.02) if minute % 5 == 0 else (0.92, 0.007)
        ends = [polar(centre, radius * inner, minute * 6), polar(centre, radius * 0.96, minute * 6)]
        draw.line(ends, (30, 30, 30), round(radius * thickness))
    for hour in range(1, 13):
        draw.text(polar(centre, radius * 0.72, hour * 30), str(hour), (25, 25, 25), font, anchor="mm")


def polar(centre: tuple[float, float], radius: float, degrees: float) -> tuple[float, float]:
    angle = math.radians(degrees)
    return centre[0] + radius * math.sin(angle), centre[1] - radius * math.cos(angle)


if __name__ == "__main__":
    main()
