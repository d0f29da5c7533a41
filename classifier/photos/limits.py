"""The memory and time that one image may cost, checked before it is decoded or bounded while it is."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from classifier.errors import TooLarge
from classifier.photos.headers import MAX_SEGMENTS, Header

MAX_SIDE = 16_384  # pixels
LARGE_MEGAPIXELS = 12
MAX_SCANS = 100  # 100 scans of 50 megapixels take 3 s
MAX_PIECES = 200_000  # strips or tiles of a TIFF; 50 megapixels in tiles of 16 x 16 are fewer
RUN_LENGTH_MEGAPIXELS = 8  # Pillow decodes such a BMP in Python, 0.1 s a megapixel
MAX_READS = 500_000  # Pillow takes half a second for as many
TILE_WIDTH, TILE_LENGTH = 322, 323  # TIFF tags

_large = threading.RLock()


def check(header: Header, max_megapixels: float) -> None:
    """Refuse an image that would cost too much even to open. Raises TooLarge."""
    check_pixels(header.size, max_megapixels)
    if header.pieces > MAX_PIECES:
        raise TooLarge("This image is cut into too many strips or tiles; please save it again as a JPEG.")
    if header.scans > MAX_SCANS or header.segments >= MAX_SEGMENTS:
        raise TooLarge(f"This JPEG has more than {MAX_SCANS} scans or too many segments; please save it again.")


def check_opened(
    image: ImageFile, full_size: tuple[int, int], decoded_size: tuple[int, int], max_megapixels: float
) -> None:
    """Refuse an opened image that would cost too much to decode. Raises TooLarge.

    Both sizes are (width, height): `full_size` as the file declares it, `decoded_size` as it is held in memory, which
    is less for a JPEG that is decoded at a reduced scale.
    """
    check_pixels(decoded_size, max_megapixels)
    if max(full_size) > MAX_SIDE:
        raise TooLarge(f"This image is more than {MAX_SIDE} pixels wide or high; please send a smaller one.")
    if isinstance(image, TiffImageFile):  # a tile may be larger than the image, and is decoded whole
        check_pixels((image.tag_v2.get(TILE_WIDTH, 0), image.tag_v2.get(TILE_LENGTH, 0)), max_megapixels)
    if any(tile.codec_name == "bmp_rle" for tile in image.tile) and megapixels(image.size) > RUN_LENGTH_MEGAPIXELS:
        raise TooLarge("This BMP is large and run-length encoded; please save it again as a PNG or JPEG.")


def check_pixels(size: tuple[int, int], max_megapixels: float) -> None:
    """Refuse an image of `size` (width, height) that has too many pixels to decode. Raises TooLarge."""
    if megapixels(size) > max_megapixels:
        raise TooLarge(
            f"This image has {megapixels(size):,.4g} megapixels, more than the {max_megapixels:g} allowed; "
            "please send a smaller one."
        )


@contextmanager
def one_large_at_a_time(size: tuple[int, int]) -> Iterator[None]:
    """Take turns if an image of `size` (width, height) is large: 50 megapixels of WebP take 0.8 GB."""
    if megapixels(size) <= LARGE_MEGAPIXELS:
        yield
        return
    with _large:
        yield


def megapixels(size: tuple[int, int]) -> float:
    return size[0] * size[1] / 1e6


class LimitedFile(io.BytesIO):
    """A file in memory that can be read in at most `MAX_READS` steps; the next one raises TooLarge.

    Pillow reads headers in Python, a few bytes at a time: 20 MB of empty chunks would take it 18 s.
    """

    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > MAX_READS:
            raise TooLarge("This image consists of too many small parts; please save it again as a JPEG.")
        return super().read(size)
