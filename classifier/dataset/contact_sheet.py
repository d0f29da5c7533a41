"""A contact sheet: a row of photos per class, which shows at a glance what the folders contain."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from classifier.dataset.layout import Photo
from classifier.errors import ClassifierError
from classifier.photos import decode, fit
from classifier.photos.files import read
from classifier.text import printable, quantity

SIDE, GAP, TITLE = 112, 8, 208  # pixels: a thumbnail's side, the space around it, the width of a class' name
ROW = SIDE + GAP
MAX_CLASSES = 50
INK, PAPER = "black", "white"


def contact_sheet(classes: Sequence[str], photos: Sequence[Photo], per_class: int = 8, seed: int = 0) -> Image.Image:
    """Draw a row for each of the first 50 classes: its name, its number of files, and some of its photos.

    `seed` chooses the photos; unreadable files are skipped.
    """
    shown, left_out = classes[:MAX_CLASSES], len(classes) - MAX_CLASSES
    height = ROW * len(shown) + GAP + (ROW // 2 if left_out > 0 else 0)
    sheet = Image.new("RGB", (TITLE + ROW * per_class + GAP, height), PAPER)
    members = by_class(photos)
    for label, name in enumerate(shown):
        rng = np.random.default_rng((seed, label))
        title(sheet, GAP + ROW * label, name, quantity(len(members[label]), "file"))
        for column, image in enumerate(islice(thumbnails(members[label], rng), per_class)):
            sheet.paste(image, (TITLE + ROW * column, GAP + ROW * label))
    if left_out > 0:
        title(sheet, GAP + ROW * len(shown), f"... and {quantity(left_out, 'more class')}")
    return sheet


def by_class(photos: Sequence[Photo]) -> dict[int, list[Photo]]:
    members = defaultdict(list)
    for photo in photos:
        members[photo.label].append(photo)
    return members


def thumbnails(photos: Sequence[Photo], rng: np.random.Generator) -> Iterator[Image.Image]:
    """Yield squares of the readable photos in random order."""
    for i in rng.permutation(len(photos)):
        try:
            image = decode.read(read(photos[i].path), (SIDE, SIDE))
        except ClassifierError:
            continue
        yield Image.fromarray(fit.to_pixels(image, (SIDE, SIDE)))


def title(sheet: Image.Image, top: int, name: str, note: str = "") -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, top), fitting(printable(name), ImageFont.load_default(20)), INK, ImageFont.load_default(20))
    draw.text((GAP, top + 28), note, INK, ImageFont.load_default(14))


def fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the text, or as much of its beginning as fits beside the photos."""
    shorter = (f"{text[:length]}..." for length in range(len(text) - 1, 0, -1))
    return next((candidate for candidate in (text, *shorter) if font.getlength(candidate) <= TITLE - 2 * GAP), "")
