"""Pictures drawn for tests, and where packages keep theirs."""

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def installed(package: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def picture(colour: str = "red", size: tuple[int, int] = (320, 240), format: str = "PNG", **options: Any) -> bytes:
    return encoded(Image.new("RGB", size, colour), format, **options)


def textured(size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Return a picture without symmetry or flat parts: every error in cropping, rotating or scaling changes it."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    waves = np.stack([x, y, (np.sin(19 * x + 7 * y * y) + 1) / 2], axis=-1)
    return Image.fromarray((waves * 255).astype(np.uint8))
