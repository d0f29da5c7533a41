"""Near copies, by a difference hash of what they look like."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from classifier.photos import decode

SIZE = (64, 64)  # enough for the hash; a large JPEG is decoded at a reduced scale
STEP = 2.0  # grey levels; a smaller difference between neighbours is noise, or a JPEG artefact on a plain background
PLAIN = 24  # bits; pictures on a plain background have as many in common with each other
ROWS = 16  # hashes compared with all others at once, so that the distances stay in the processor's cache


def hash_of(data: bytes) -> bytes:
    """Return the difference hash of a photo's file: `check` and training have to agree, whatever size a model expects.

    Raises what `decode.read` raises.
    """
    return difference_hash(decode.read(data, SIZE))


def difference_hash(image: Image.Image) -> bytes:
    """Return 256 bits: the places where the picture, as 16 rows of 17 greys, gets darker from left to right."""
    greys = np.asarray(image.convert("F").resize((17, 16), Image.Resampling.BILINEAR))
    return np.packbits(greys[:, :-1] > greys[:, 1:] + STEP).tobytes()


def linked(hashes: np.ndarray) -> np.ndarray:
    """Link hashes that are near each other, directly or through others: uint64 (n, 4) -> group numbers, int (n,)."""
    groups = np.arange(len(hashes))
    ones = np.bitwise_count(hashes).sum(axis=1, dtype=np.uint16)
    limits = (np.minimum(ones, 256 - ones).clip(PLAIN) - PLAIN) // 4  # in bits; more for pictures with more detail
    for start in range(0, len(hashes), ROWS):
        some, others = slice(start, start + ROWS), slice(start, None)
        by_word = (np.bitwise_count(hashes[some, None, word] ^ hashes[None, others, word]) for word in range(4))
        near = sum(by_word, np.uint16(0)) < np.minimum(limits[some, None], limits[others])  # (ROWS, n - start)
        for row in np.flatnonzero(near.sum(axis=1) > 1):  # each is near to itself
            groups[np.isin(groups, groups[others][near[row]])] = groups[start + row]
    return groups


def near_copies(hashes: np.ndarray, paths: Sequence[Path]) -> np.ndarray:
    """Group near copies: uint64 (n, 4) -> group numbers, int (n,).

    Roboflow's exports name the variants of a photo, also turned and cropped ones, `<photo>.rf.<id>.jpg`.
    """
    groups = linked(hashes)
    first: dict[str, int] = {}
    for i, path in enumerate(paths):
        source, dot, _ = path.name.partition(".rf.")
        if dot:
            groups[groups == groups[i]] = groups[first.setdefault(source, i)]
    return groups
