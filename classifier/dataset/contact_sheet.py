"""A contact sheet: a row of photos per class, for a person to see at a glance what the folders hold."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from classifier.dataset.reading import Photo
from classifier.errors import ClassifierError
from classifier.photos import decode, fit
from classifier.photos.files import content
from classifier.text import printable

SIDE, GAP, TITLE = 112, 8, 208  # pixels: a thumbnail's side, the space around it, the width of a class' name
ROW = SIDE + GAP
MAX_CLASSES = 50
INK, PAPER = "black", "white"


def contact_sheet(classes: Sequence[str], photos: Sequence[Photo], per_class: int = 8, seed: int = 0) -> Image.Image:
    """A picture with a row per class, of the first 50: its name, its number of files, and some photos of it.

    `seed` says which photos; what cannot be read is passed over.
    """
    shown, left_out = classes[:MAX_CLASSES], len(classes) - MAX_CLASSES
    height = ROW * len(shown) + GAP + (ROW // 2 if left_out > 0 else 0)
    sheet = Image.new("RGB", (TITLE + ROW * per_class + GAP, height), PAPER)
    members = by_class(photos)
    for label, name in enumerate(shown):
        rng = np.random.default_rng((seed, label))
        title(sheet, GAP + ROW * label, name, f"{len(members[label]):,} files")
        for column, image in enumerate(islice(thumbnails(members[label], rng), per_class)):
            sheet.paste(image, (TITLE + ROW * column, GAP + ROW * label))
    if left_out > 0:
        title(sheet, GAP + ROW * len(shown), f"... and {left_out:,} more class{'es' * (left_out != 1)}")
    return sheet


def by_class(photos: Sequence[Photo]) -> dict[int, list[Photo]]:
    members = defaultdict(list)
    for photo in photos:
        members[photo.label].append(photo)
    return members


def thumbnails(photos: Sequence[Photo], rng: np.random.Generator) -> Iterator[Image.Image]:
    """Squares of the photos in random order; those that cannot be read are left out."""
    for i in rng.permutation(len(photos)):
        try:
            image = decode.read(content(photos[i].path), (SIDE, SIDE))
        except ClassifierError:
            continue
        yield Image.fromarray(fit.to_pixels(image, (SIDE, SIDE)))


def title(sheet: Image.Image, top: int, name: str, note: str = "") -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, top), fitting(printable(name), ImageFont.load_default(20)), INK, ImageFont.load_default(20))
    draw.text((GAP, top + 28), note, INK, ImageFont.load_default(14))


def fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, or as much of its beginning as fits beside the photos."""
    lengths = range(len(text), 0, -1)
    cut = (text[:n] + "..." * (n < len(text)) for n in lengths)
    return next((candidate for candidate in cut if font.getlength(candidate) <= TITLE - 2 * GAP), "")
