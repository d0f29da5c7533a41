"""Bytes from a stranger -> an upright RGB image.

The only place that opens untrusted images: serving, prediction, training and evaluation all read through here.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import numpy as np
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from classifier.contract import Resize
from classifier.errors import BrokenImage, ClassifierError, NoImage, TooLarge, UnsupportedImage
from classifier.options import Limits
from classifier.photos import cicp, deep, greys, headers, incomplete, limits, raw, tiff
from classifier.photos.colours import PROFILE, to_srgb
from classifier.photos.fit import shorter_side, to_pixels
from classifier.photos.headers import Header

try:
    import pillow_heif
except ImportError:
    HEIF = False
else:
    pillow_heif.register_heif_opener()
    HEIF = True

LIMITS = Limits()
LINE_ENDS = b"\r\n"  # before a photo that was cut out of a camera's stream
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF") + (("HEIF",) if HEIF else ())  # MPO is opened as JPEG
READABLE = "JPEG, PNG, GIF, WebP, BMP, TIFF, AVIF or HEIC" if HEIF else "JPEG, PNG, GIF, WebP, BMP, TIFF or AVIF"
REDUCIBLE = ("L", "LA", "RGB", "RGBA", "CMYK")  # modes that Pillow can average

# Pillow's own limit ignores JPEG's reduced scales; those in `limits` come first.
Image.MAX_IMAGE_PIXELS = None
# One file can cause 60,000 warnings, each with a different text: they would fill the log and never leave memory.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read(
    data: bytes,
    size: tuple[int, int] = (224, 224),
    resize: Resize = "crop",
    max_megapixels: float = LIMITS.max_megapixels,
) -> Image.Image:
    """Decode a photo from a stranger: upright, RGB, on white where it was transparent, the first frame only.

    `size` is the (height, width) that the model expects: a much larger JPEG is decoded at 1/2, 1/4 or 1/8 of its scale
    (not for `stretch`, which promises Keras' pixels), and colours are converted from the photo's profile to sRGB after
    that; for `stretch`, `info` may hold the profile instead, which `fit` applies to what it has reduced. The image's
    `format` is that of the file; otherwise, `info` holds nothing but a `notice` if the file lacks its last bytes, which
    it may if at least nine tenths of the rows can be decoded. Of a camera's raw photo, the largest picture inside that
    can be read is decoded.

    Raises NoImage, TooLarge, UnsupportedImage or BrokenImage, and nothing else.
    """
    with image_errors():
        data = data.lstrip(LINE_ENDS)
        if not data:
            raise NoImage("This file is empty; please choose a photo.")
        read_this = partial(read_one, size=size, resize=resize, max_megapixels=max_megapixels)
        found = raw.contents(data)
        if found.is_raw:
            return first_readable((partial(read_this, *inner.file(data)) for inner in found.pictures), raw.REFUSAL)
        return read_this(*found.pictures[0].file(data)) if found.pictures else read_this(data)


def first_readable(readings: Iterable[Callable[[], Image.Image]], refusal: str) -> Image.Image:
    """Return the result of the first call that is not refused. Raises UnsupportedImage with `refusal`, or TooLarge."""
    for reading in readings:
        with suppress(UnsupportedImage, BrokenImage), image_errors():
            return reading()
    raise UnsupportedImage(refusal)


def read_pixels(
    data: bytes, size: tuple[int, int], resize: Resize = "crop", max_megapixels: float = LIMITS.max_megapixels
) -> np.ndarray:
    """Return what a model of `size` (height, width) looks at in a photo, uint8 (height, width, 3).

    Raises ClassifierError, as `read` does.
    """
    return to_pixels(read(data, size, resize, max_megapixels), size, resize)


def read_one(
    data: bytes, orientation: int = 0, *, size: tuple[int, int], resize: Resize, max_megapixels: float
) -> Image.Image:
    """Read a file that is a picture itself. `orientation` holds for a picture that has none of its own."""
    header = headers.read(data)
    check_is_readable(header)
    limits.check(header, max_megapixels)
    with limits.one_large_at_a_time(header.size):
        open = partial(opened, header=header, size=size, resize=resize, max_megapixels=max_megapixels)
        image = open(data)
        with limits.one_large_at_a_time(image.size):
            image, notice = loaded(image, header, lambda: open(incomplete.closed(data)))
            deep.scale(image, partial(open, data), header.significant_bits)
            rgb = decoded(image, header, size, resize, orientation)
    rgb.info |= {"notice": notice} if notice else {}
    return rgb


@contextmanager
def image_errors() -> Iterator[None]:
    """Turn anything that Pillow raises over a hostile file into an error with a sentence for people."""
    try:
        yield
    except ClassifierError:
        raise
    except UnidentifiedImageError as exc:
        raise UnsupportedImage(f"This file is not an image that we can read; please send a {READABLE}.") from exc
    except MemoryError as exc:
        raise TooLarge("This image needs more memory than is available; please send a smaller one.") from exc
    except Exception as exc:
        raise BrokenImage(
            "This image is damaged or incomplete; please send it again or save it as a new JPEG."
        ) from exc


def check_is_readable(header: Header) -> None:
    """Refuse a HEIC photo if this installation cannot read it. Raises UnsupportedImage."""
    if header.is_heic and not HEIF:
        raise UnsupportedImage(
            "This is a HEIC photo, which this site cannot read; please export it as a JPEG "
            "(on an iPhone: Settings, Camera, Formats, Most Compatible) and send that."
        )


def opened(data: bytes, header: Header, size: tuple[int, int], resize: Resize, max_megapixels: float) -> ImageFile:
    """Open an image by its content and check what Pillow knows of it, before a pixel is decoded. Raises TooLarge."""
    image = recognised(data)
    full_size = image.size
    if resize == "crop":
        shorter = 2 * shorter_side(size)  # twice what is needed, so that the reduced scale costs no sharpness
        image.draft(None, (shorter, shorter))  # affects JPEG only
    limits.check_opened(image, full_size, image.size if header.is_sequential else full_size, max_megapixels)
    return image


def recognised(data: bytes) -> ImageFile:
    """Open an image of any of `FORMATS`. Raises UnsupportedImage for a TIFF with what it declares."""
    try:
        image = Image.open(limits.LimitedFile(data), formats=FORMATS)
    except (UnidentifiedImageError, KeyError) as exc:
        if data[:4] not in tiff.SIGNATURES:
            raise
        raise UnsupportedImage(tiff.refusal(data)) from exc
    if isinstance(image, TiffImageFile):
        tiff.with_native_order(image)
    return image


def loaded(image: ImageFile, header: Header, reopened: Callable[[], ImageFile]) -> tuple[ImageFile, str]:
    """Decode an opened image, or what there is of it; return it with a notice if its last bytes are missing."""
    try:
        image.load()
    except OSError:
        if not header.has_all_channels:
            raise
    else:
        return image, ""
    again = reopened()
    return again, incomplete.load(again)


def decoded(image: Image.Image, header: Header, size: tuple[int, int], resize: Resize, orientation: int) -> Image.Image:
    """Turn a loaded image into what `read` promises."""
    format, profile = image.format, profile_of(image, header)
    image = with_info(greys.to_8_bit(as_inked(image), header.significant_bits), image)
    if resize == "crop":
        image = shrunk(image, 2 * shorter_side(size))
    turn_upright(image, orientation)
    is_converted_later = resize == "stretch" and image.mode == "RGB" and not image.has_transparency_data
    rgb = image if is_converted_later else to_rgb(image, profile)
    rgb.format = format
    rgb.info = {PROFILE: profile} if is_converted_later and profile else {}
    return rgb


def profile_of(image: Image.Image, header: Header) -> bytes:
    """Return the ICC profile of an image, or of the numbers that it declares: a PNG's come first, others second."""
    embedded, numbered = image.info.get(PROFILE) or b"", cicp.profile(*header.colours)
    return (numbered or embedded) if image.format == "PNG" else (embedded or numbered)


def as_inked(image: Image.Image) -> Image.Image:
    """Turn a CMYK JPEG over that Pillow took for one of Adobe's, which alone store how much paper shows."""
    if image.format != "JPEG" or image.mode != "CMYK" or "adobe" in image.info:
        return image
    return with_info(ImageChops.invert(image), image)


def shrunk(image: Image.Image, shorter: int) -> Image.Image:
    """Average a much too large image down early, its shorter side to no less than `shorter`: the rest costs less."""
    factor = min(image.size) // shorter
    if factor < 2 or image.mode not in REDUCIBLE or "transparency" in image.info:
        return image
    return with_info(image.reduce(factor), image)


def with_info(image: Image.Image, source: Image.Image) -> Image.Image:
    """Return the image with its source's metadata, such as the orientation."""
    image.info = source.info
    return image


def turn_upright(image: Image.Image, orientation: int) -> None:
    """Turn the image as its EXIF orientation demands, or the given one; a photo with broken EXIF stays as it is."""
    with suppress(Exception):
        if orientation:
            image.getexif().setdefault(tiff.ORIENTATION, orientation)
        ImageOps.exif_transpose(image, in_place=True)


def to_rgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert any of Pillow's 8-bit modes to sRGB, with transparency laid over white.

    `profile` is the image's ICC profile, if it has one.
    """
    if not image.has_transparency_data:
        return to_srgb(image, profile)
    opacity = image.convert("RGBA").getchannel("A")
    white = Image.new("RGB", image.size, "white")
    white.paste(to_srgb(image, profile), mask=opacity)
    return white
