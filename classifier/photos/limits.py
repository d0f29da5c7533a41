"""What one image may cost, in memory and in time, told before it is decoded or while it is."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from classifier.errors import TooLarge
from classifier.photos.headers import (
    MAX_SEGMENTS,
    START_OF_SCAN,
    is_decoded_in_passing,
    jpeg_markers,
    tiff_pieces,
    webp_size,
)

MAX_SIDE = 16_384
LARGE_MEGAPIXELS = 12
MAX_SCANS = 100  # 100 scans of 50 megapixels take 3 s
MAX_PIECES = 200_000  # strips or tiles of a TIFF; 50 megapixels in tiles of 16 x 16 are fewer
RUN_LENGTH_MEGAPIXELS = 8  # Pillow decodes such a BMP in Python, 0.1 s a megapixel
MAX_READS = 500_000  # Pillow takes half a second for as many
TILE_WIDTH, TILE_LENGTH = 322, 323  # TIFF tags

_large = threading.RLock()


class PatientFile(io.BytesIO):
    """A file in memory that may be read in at most `MAX_READS` steps; then it raises TooLarge.

    Pillow reads headers in Python, a few bytes at a time: 20 MB of empty chunks would take it 18 s.
    """

    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > MAX_READS:
            raise TooLarge("This image is made of too many small parts; please save it anew as a JPEG.")
        return super().read(size)


def check_header(data: bytes, max_megapixels: float) -> None:
    """Refuse what would already cost too much to open. Raises TooLarge, or struct.error for a cut-off TIFF."""
    check_pixels(webp_size(data), max_megapixels)
    if tiff_pieces(data) > MAX_PIECES:
        raise TooLarge("This image is cut into too many strips or tiles; please save it anew as a JPEG.")
    check_scans(data)


def check_scans(data: bytes) -> None:
    """Refuse a JPEG in more segments or scans than anybody needs: each scan costs a walk over all pixels."""
    if is_decoded_in_passing(data):
        return
    markers = [marker for marker, _ in jpeg_markers(data)]
    if markers.count(START_OF_SCAN) > MAX_SCANS or len(markers) == MAX_SEGMENTS:
        raise TooLarge(f"This JPEG comes in more than {MAX_SCANS} scans or too many segments; please save it anew.")


def check_sides(size: tuple[int, int]) -> None:
    """Refuse an image that is much too long or wide."""
    if max(size) > MAX_SIDE:
        raise TooLarge(f"This image is more than {MAX_SIDE} pixels wide or high; please send a smaller one.")


def check_pixels(size: tuple[int, int], max_megapixels: float) -> None:
    """Refuse an image of `size` (width, height) that has too many pixels to decode."""
    if megapixels(size) > max_megapixels:
        raise TooLarge(
            f"This image has {megapixels(size):,.4g} megapixels, more than the {max_megapixels:g} allowed; "
            "please send a smaller one."
        )


def check_parts(image: ImageFile, max_megapixels: float) -> None:
    """Refuse an opened image whose parts cost more than its size tells."""
    if isinstance(image, TiffImageFile):  # a tile may be larger than the image, and is decoded whole
        check_pixels((image.tag_v2.get(TILE_WIDTH, 0), image.tag_v2.get(TILE_LENGTH, 0)), max_megapixels)
    if any(tile.codec_name == "bmp_rle" for tile in image.tile) and megapixels(image.size) > RUN_LENGTH_MEGAPIXELS:
        raise TooLarge("This BMP is large and run-length encoded; please save it anew as a PNG or JPEG.")


@contextmanager
def turn(size: tuple[int, int]) -> Iterator[None]:
    """Large images of (width, height) one at a time: 50 megapixels of WebP take 0.8 GB."""
    if megapixels(size) <= LARGE_MEGAPIXELS:
        yield
        return
    with _large:
        yield


def megapixels(size: tuple[int, int]) -> float:
    return size[0] * size[1] / 1e6
