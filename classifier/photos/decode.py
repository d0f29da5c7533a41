"""Bytes that somebody sent -> an upright RGB image -> the pixels that a model looks at.

The only place that opens untrusted images: serving, training and evaluation all come through here.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from classifier.contract import Resize
from classifier.errors import BrokenImage, ClassifierError, NoImage, TooLarge, UnsupportedImage
from classifier.photos.fit import shorter_side
from classifier.photos.headers import is_decoded_in_passing, is_heic, webp_size
from classifier.photos.limits import PatientFile, check_header, check_parts, check_pixels, check_sides, turn

try:
    import pillow_heif
except ImportError:
    HEIF = False
else:
    pillow_heif.register_heif_opener()
    HEIF = True


FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF") + (("HEIF",) if HEIF else ())  # MPO is opened as JPEG
REDUCIBLE = ("L", "LA", "RGB", "RGBA", "CMYK", "F", "I")
READABLE = "JPEG, PNG, GIF, WebP, BMP, TIFF, AVIF or HEIC" if HEIF else "JPEG, PNG, GIF, WebP, BMP, TIFF or AVIF"

# Pillow's own limit knows nothing of JPEG's reduced scales; those in bounds.py are ours, and come first.
Image.MAX_IMAGE_PIXELS = None
# One file can make 60,000 warnings, each another text: they would fill the log, and Python remembers each for good.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read(
    data: bytes,
    size: tuple[int, int] = (224, 224),
    resize: Resize = "crop",
    max_megapixels: float = 50,
) -> Image.Image:
    """Decode a photo that somebody sent: upright, RGB, on white where it was transparent, first frame.

    `size` is the (height, width) that the model wants: a JPEG that is much larger is decoded at 1/2, 1/4
    or 1/8 of its scale (not for `stretch`, which promises Keras' pixels). The image's `format` says what it was.

    Raises NoImage, TooLarge, UnsupportedImage or BrokenImage, and nothing else.
    """
    with image_errors():
        check_is_readable(data)
        check_header(data, max_megapixels)
        with turn(webp_size(data)):
            image = open_checked(data, size, resize, max_megapixels)
            with turn(image.size):
                return decoded(image, size, resize)


def decoded(image: Image.Image, size: tuple[int, int], resize: Resize) -> Image.Image:
    """The opened image as `read` promises it."""
    format = image.format
    image.load()
    if resize == "crop":
        image = shrunk(image, 2 * shorter_side(size))
    upright(image)
    rgb = to_rgb(image)
    rgb.format = format
    return rgb


@contextmanager
def image_errors() -> Iterator[None]:
    """Pillow may raise anything at all over a hostile file; here it becomes one of our sentences."""
    try:
        yield
    except ClassifierError:
        raise
    except UnidentifiedImageError as exc:
        raise UnsupportedImage(f"This file is not an image that we can read; please send a {READABLE}.") from exc
    except MemoryError as exc:
        raise TooLarge("This image needs more memory than there is; please send a smaller one.") from exc
    except Exception as exc:
        raise BrokenImage(
            "This image is damaged or incomplete; please send it again or save it anew as a JPEG."
        ) from exc


def check_is_readable(data: bytes) -> None:
    """Refuse nothing at all, and what this installation cannot read, each with what to do."""
    if not data:
        raise NoImage("This file is empty; please choose a photo.")
    if not HEIF and is_heic(data):
        raise UnsupportedImage(
            "This is a HEIC photo, which this site cannot read; please export it as a JPEG "
            "(on an iPhone: Settings, Camera, Formats, Most Compatible) and send that."
        )


def open_checked(data: bytes, size: tuple[int, int], resize: Resize, max_megapixels: float) -> Image.Image:
    """Open the header by content and check what it declares, before a pixel is decoded."""
    image = Image.open(PatientFile(data), formats=FORMATS)
    full_size = image.size
    if resize == "crop":
        shorter = 2 * shorter_side(size)  # twice what is needed, so that the reduced scale costs no sharpness
        image.draft(None, (shorter, shorter))  # does nothing but for JPEG
    check_pixels(image.size if is_decoded_in_passing(data) else full_size, max_megapixels)
    check_sides(full_size)
    check_parts(image, max_megapixels)
    return image


def shrunk(image: Image.Image, shorter: int) -> Image.Image:
    """Much too large an image averaged down early, to no less than `shorter`: all that follows costs less."""
    if image.mode.startswith("I;16"):
        image = same_info(to_8_bit(image), image)
    factor = min(image.size) // shorter
    if factor < 2 or image.mode not in REDUCIBLE or "transparency" in image.info:
        return image
    return same_info(image.reduce(factor), image)


def same_info(image: Image.Image, source: Image.Image) -> Image.Image:
    """The image with what its source knows besides pixels, such as the orientation."""
    image.info = source.info
    return image


def upright(image: Image.Image) -> None:
    """Turn the image as its EXIF orientation says; a photo with broken EXIF stays as it is."""
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes to RGB: 16-bit and float scaled to 8 bits, transparency laid over white."""
    image = to_8_bit(image) if image.mode.startswith(("I", "F")) else image
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba)
    return white


def to_8_bit(image: Image.Image) -> Image.Image:
    """Greyscale deeper than 8 bits: 16-bit by its full range; 32-bit and float, which have none, by their own."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((values >> 8).astype(np.uint8))
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    of, to = (low, high if high > low else low + 1), (0, 255)
    rows = [np.interp(np.nan_to_num(row, nan=low), of, to).round().astype(np.uint8) for row in values]  # 64-bit inside
    return Image.fromarray(np.stack(rows))
