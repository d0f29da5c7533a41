"""An upright RGB image -> the pixels that a model looks at, and the preview that people see."""

import io

import numpy as np
from PIL import Image

from classifier.contract import Resize
from classifier.photos.colours import PROFILE, to_srgb

PREVIEW_SIDE = 1024  # pixels


def to_pixels(image: Image.Image, size: tuple[int, int], resize: Resize = "crop") -> np.ndarray:
    """Resize an image to the model's `size` (height, width): uint8 (height, width, 3).

    `crop` resizes the shorter side to 8/7 of `size`, bicubic, and cuts out the centre: how ImageNet models are tested.
    `stretch` resizes both sides, nearest neighbour, exactly like `keras.utils.load_img(target_size=size)`.
    """
    height, width = size
    if resize == "stretch":
        resized = image.resize((width, height), Image.Resampling.NEAREST)
    else:
        box = centre_box(image.size, size)
        resized = image.resize((width, height), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.asarray(in_srgb(resized))


def in_srgb(image: Image.Image) -> Image.Image:
    """Convert a reduced image, perhaps in place, from the profile in its `info`, if `decode` has left it there."""
    profile = image.info.get(PROFILE, b"")
    return to_srgb(image, profile) if profile else image


def to_preview(image: Image.Image) -> bytes:
    """Encode the picture as it is shown and kept: a new JPEG of at most 1024 pixels a side, without metadata."""
    scale = min(1, PREVIEW_SIDE / max(image.size))
    preview = image.resize([max(1, round(side * scale)) for side in image.size], reducing_gap=2.0)
    buffer = io.BytesIO()
    in_srgb(preview).save(buffer, "JPEG", quality=85, comment=b"", exif=b"", icc_profile=b"")  # or Pillow copies them
    return buffer.getvalue()


def preview_size(preview: bytes) -> tuple[int, int]:
    """Return the (width, height) of what `to_preview` has encoded."""
    with Image.open(io.BytesIO(preview)) as image:
        return image.size


def shorter_side(size: tuple[int, int]) -> int:
    """Return the shorter side before the centre of `size` (height, width) is cut out: 256 for 224."""
    return round(max(size) * 8 / 7)


def centre_box(image_size: tuple[int, int], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the part of an image of (width, height) that a model of `size` (height, width) sees.

    The box is (left, upper, right, lower). Resizing it alone gives the same pixels as resizing everything and cutting
    out the centre, for less work.
    """
    scale = min(image_size[0] / size[1], image_size[1] / size[0]) * 7 / 8  # image pixels per model pixel
    half_width, half_height = size[1] * scale / 2, size[0] * scale / 2
    x, y = image_size[0] / 2, image_size[1] / 2
    return x - half_width, y - half_height, x + half_width, y + half_height
