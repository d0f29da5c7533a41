"""TIFFs written by hand, as instruments and cameras write them: any layout, several directories. Source: TIFF 6.0."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Tags = dict[int, Sequence[int]]
LONGS = (254, 256, 257, 273, 278, 279, 330, 513, 514)  # the other tags hold numbers of 16 bits
START, COUNT, SUBS = 273, 279, 330


class Picture(NamedTuple):
    """What a directory describes; where its data is, is filled in: in the tags of a strip, or in those of `place`."""

    tags: Tags
    data: bytes
    place: tuple[int, int] = (START, COUNT)


def plain(pixels: np.ndarray, photometric: int = 1, **more: int | Sequence[int]) -> Picture:
    """Return an uncompressed picture of pixels (height, width) or (height, width, channels).

    The names in `more` are `tag_` and its number.
    """
    height, width, channels = (*pixels.shape, 1)[:3]
    bits, kind = 8 * pixels.dtype.itemsize, {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    tags: Tags = {256: [width], 257: [height], 258: [bits] * channels, 259: [1], 262: [photometric], 277: [channels]}
    given = {int(name[4:]): [value] if isinstance(value, int) else value for name, value in more.items()}
    return Picture(tags | {278: [height], 339: [kind] * channels} | given, pixels.tobytes())


def tiff(*pictures: Picture, subs: Sequence[Picture] = (), order: str = "<", magic: bytes = b"") -> bytes:
    """Return a TIFF of `pictures`, one directory after another; `subs` are sub-directories of the first."""
    content = b"\0" * (8 + len(magic))
    directories = []
    for picture in [*pictures, *subs]:
        at = dict(zip(picture.place, ([len(content)], [len(picture.data)]), strict=True))
        directories.append(picture.tags | at)
        content += picture.data + bytes(-len(picture.data) % 4)
    if subs:
        directories[0] |= {SUBS: [0] * len(subs)}
    places = [len(content) + sum(size(tags) for tags in directories[:i]) for i in range(len(directories))]
    if subs:
        directories[0] |= {SUBS: places[len(pictures) :]}
    for i, tags in enumerate(directories):
        following = places[i + 1] if i + 1 < len(pictures) else 0
        content += directory(tags, places[i], following, order)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "L", places[0]) + magic
    return head + content[len(head) :]


def size(tags: Tags) -> int:
    return (
        6 + 12 * len(tags) + sum(len(packed(tag, values, "<")) for tag, values in tags.items() if is_far(tag, values))
    )


def is_far(tag: int, values: Sequence[int]) -> bool:
    return len(packed(tag, values, "<")) > 4


def packed(tag: int, values: Sequence[int], order: str) -> bytes:
    kind = "L" if tag in LONGS else "H"
    data = struct.pack(f"{order}{len(values)}{kind}", *values)
    return data + bytes(-len(data) % 4)


def directory(tags: Tags, at: int, following: int, order: str) -> bytes:
    entries, far = struct.pack(order + "H", len(tags)), b""
    end = at + 6 + 12 * len(tags)
    for tag, values in sorted(tags.items()):
        content = packed(tag, values, order)
        if is_far(tag, values):
            content, far = struct.pack(order + "L", end + len(far)), far + content
        entries += struct.pack(order + "HHL", tag, 4 if tag in LONGS else 3, len(values)) + content
    return entries + struct.pack(order + "L", following) + far
