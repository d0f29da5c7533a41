"""Images in every supported format, and ways to damage them."""

import random
import struct
import zlib

import numpy as np
from PIL import Image
from support import profiles
from support.pictures import encoded, textured
from support.tiffs import Picture, plain, tiff

from classifier.photos import decode


def saved(image: Image.Image, format: str, **options) -> bytes:
    return encoded(image.copy(), format, **options)  # as Pillow leaves notes on an image that it has saved


PHOTO = textured((97, 61))
GREY = PHOTO.convert("L")
DEEP = Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257)
EXIF = Image.Exif()
EXIF.update({0x0112: 6, 0x010E: "a description", 0x011A: 72.0})


def animated(format: str) -> bytes:
    return saved(PHOTO, format, save_all=True, append_images=[PHOTO.rotate(90), PHOTO.rotate(180)])


SOURCES = {
    "jpeg": saved(PHOTO, "JPEG", exif=EXIF, comment=b"words", icc_profile=b"colours" * 99),
    "jpeg progressive": saved(PHOTO, "JPEG", progressive=True),
    "jpeg 4:4:4 with restarts": saved(PHOTO, "JPEG", subsampling=0, restart_marker_rows=1),
    "jpeg grey": saved(GREY, "JPEG"),
    "jpeg cmyk": saved(PHOTO.convert("CMYK"), "JPEG"),
    "mpo": animated("MPO"),
    **{f"png {mode}": saved(PHOTO.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")},
    "png of 16 bits": saved(DEEP, "PNG"),
    "png with much besides": saved(PHOTO.quantize(9), "PNG", exif=EXIF, transparency=b"\0\x80", icc_profile=b"icc"),
    "png animated": animated("PNG"),
    "gif": saved(PHOTO, "GIF", comment=b"words", transparency=3),
    "gif animated": animated("GIF"),
    "webp": saved(PHOTO, "WEBP", exif=EXIF),
    "webp lossless": saved(PHOTO.convert("RGBA"), "WEBP", lossless=True),
    "webp animated": animated("WEBP"),
    **{f"bmp {mode}": saved(PHOTO.convert(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")},
    **{f"tiff {kind}": saved(PHOTO, "TIFF", compression=kind, exif=EXIF)
       for kind in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma")},
    "tiff fax": saved(GREY.convert("1"), "TIFF", compression="group4"),
    "tiff of many pages": animated("TIFF"),
    "tiff big": saved(PHOTO, "TIFF", big_tiff=True),
    **{f"tiff {mode}": saved(GREY.convert(mode), "TIFF") for mode in ("I", "F", "CMYK", "RGBX")},
    "tiff of 16 bits": saved(DEEP, "TIFF"),
    "tiff of grey and opacity in 16 bits": tiff(plain(np.dstack([np.asarray(DEEP)] * 2), tag_338=2)),
    "raw photo": tiff(
        plain(np.asarray(PHOTO), 2, tag_254=1),
        subs=[Picture({254: [1]}, saved(textured((300, 260)), "JPEG"), (513, 514)), plain(np.asarray(DEEP), 32_803)],
    ),
    "png of wide colours": saved(PHOTO, "PNG", icc_profile=profiles.wide()),
    "jpeg of inks": saved(PHOTO.convert("CMYK"), "JPEG", icc_profile=profiles.inks()),
    "avif": saved(PHOTO, "AVIF", exif=EXIF),
    "avif animated": animated("AVIF"),
    **({"heic": saved(PHOTO, "HEIF")} if decode.HEIF else {}),
}  # fmt: skip
NUMBERS = (0, 1, 2, 3, 127, 128, 255, 256, 16_384, 65_535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def flipped(data: bytearray, chance: random.Random) -> None:
    """Flip a few bits, most of them near the beginning, where the structure is."""
    for _ in range(chance.choice((1, 2, 8, 64))):
        data[int(len(data) * chance.random() ** 2)] ^= 1 << chance.randrange(8)


def cut_off(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def renumbered(data: bytearray, chance: random.Random) -> None:
    """Write another number where a length, a size or an offset may be."""
    kind = chance.choice(("<H", ">H", "<I", ">I"))
    at = int((len(data) - 4) * chance.random() ** 3)
    struct.pack_into(kind, data, at, chance.choice(NUMBERS) % 2 ** (8 * struct.calcsize(kind)))


def rearranged(data: bytearray, chance: random.Random) -> None:
    """Leave out, repeat or move a part."""
    start, end = sorted(chance.choices(range(len(data)), k=2))
    part = data[start:end]
    if chance.random() < 0.7:
        del data[start:end]
    at = chance.randrange(len(data) + 1)
    data[at:at] = part * chance.randrange(3)


def spliced(data: bytearray, chance: random.Random) -> None:
    """Replace the end by that of another image, perhaps in another format."""
    other = SOURCES[chance.choice(list(SOURCES))]
    data[chance.randrange(len(data)) :] = other[chance.randrange(len(other)) :]


DAMAGES = {flipped: 5, cut_off: 1, renumbered: 4, rearranged: 2, spliced: 1}  # with how often each is done


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return the image with one to three kinds of damage, and in most cases with correct PNG checksums."""
    damaged = bytearray(data)
    for damage in chance.choices(list(DAMAGES), list(DAMAGES.values()), k=chance.randint(1, 3)):
        if len(damaged) > 8:
            damage(damaged, chance)
    return with_checksums(damaged) if chance.random() < 0.9 else bytes(damaged)


def with_checksums(data: bytearray) -> bytes:
    """Return a PNG with correct checksums; other formats are returned unchanged."""
    at = 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(data)
