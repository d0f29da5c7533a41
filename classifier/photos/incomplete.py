"""Files that lack their last bytes: cameras and broken transfers leave them."""

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from classifier.errors import BrokenImage
from classifier.photos.headers import END_OF_IMAGE, START_OF_IMAGE

LEAST = 0.9  # of the rows: a photo that has fewer is not answered
NEUTRAL = 128  # what libjpeg decodes where it has no more data
FILLABLE = ("L", "LA", "P", "RGB", "RGBA", "CMYK")  # modes in which all channels have 8 bits


def closed(data: bytes) -> bytes:
    """Return a JPEG with an end marker, at which its decoder stops to wait for more, and other files as they are."""
    return data + bytes([0xFF, END_OF_IMAGE]) if data.startswith(START_OF_IMAGE) else data


def load(image: ImageFile) -> str:
    """Decode as many rows of an opened image as there are; return a notice of what is missing. Raises BrokenImage."""
    if image.mode not in FILLABLE:
        raise BrokenImage("This image is damaged or incomplete; please send it again.")
    image.im = Image.new(image.mode, image.size, (NEUTRAL,) * len(image.getbands())).im
    try:
        image.load()
    except OSError:
        image.tile = []  # so that it counts as loaded
    missing = share_of_neutral_rows(image)
    if missing > 1 - LEAST:
        raise BrokenImage(
            f"This image is damaged or incomplete: {missing:.0%} of its rows are missing; please send it again."
        )
    return notice(missing)


def share_of_neutral_rows(image: Image.Image) -> float:
    """Return the share of rows, 0 to 1, that hold nothing but NEUTRAL, or the level below it, which inks have."""
    rows = np.asarray(image).reshape(image.height, -1)
    return float(((rows - np.uint8(NEUTRAL - 1)) <= 1).all(axis=1).mean())


def notice(missing: float) -> str:
    """Return the sentence for people about an image whose `missing` share of rows, 0 to 1, is small."""
    if not missing:
        return "The end of this file is missing, but every row of the picture could be read."
    return f"The end of this file is damaged or missing, and with it {max(missing, 0.01):.0%} of the picture's rows."
