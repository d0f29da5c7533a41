"""Pictures drawn for tests, and where packages keep theirs."""

import io
import struct
import zlib
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


def png_of_16_bits(pixels: np.ndarray, **chunks: bytes) -> bytes:
    """Return a PNG of uint16 pixels (height, width, channels), with more chunks before the pixels."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    contents = [
        (b"IHDR", header),
        *((name.encode(), content) for name, content in chunks.items()),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in contents
    )


def picture(colour: str = "red", size: tuple[int, int] = (320, 240), format: str = "PNG", **options: Any) -> bytes:
    return encoded(Image.new("RGB", size, colour), format, **options)


def textured(size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Return a picture without symmetry or flat parts: every error in cropping, rotating or scaling changes it."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    waves = np.stack([x, y, (np.sin(19 * x + 7 * y * y) + 1) / 2], axis=-1)
    return Image.fromarray((waves * 255).astype(np.uint8))
