"""A heat map -> a transparent picture to lay over the photo."""

import io

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]
HOTTEST = 190  # opacity, of 255: the photo stays visible


def overlay(heat: np.ndarray, size: tuple[int, int], box: Box) -> bytes:
    """Return a PNG of `size` (width, height), transparent where the map is cold, yellow to red where it is hot.

    `heat`, float (rows, columns) from 0 to 1, covers the `box` (left, upper, right, lower) of the picture.
    """
    left, upper, right, lower = (round(side) for side in box)
    inside = Image.fromarray(heat.astype(np.float32)).resize((right - left, lower - upper), Image.Resampling.BICUBIC)
    values = np.zeros((size[1], size[0]), np.float32)
    values[upper:lower, left:right] = np.clip(np.asarray(inside), 0, 1)
    colours = np.empty((*values.shape, 4), np.uint8)
    colours[..., 0], colours[..., 2] = 255, 0
    colours[..., 1] = 220 * (1 - values)
    colours[..., 3] = HOTTEST * values
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, "PNG")
    return buffer.getvalue()
