"""Zip files for tests: honest ones by `zipfile`, and any others by hand (PKWARE's APPNOTE.TXT, 4.3)."""

import io
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from zipfile import ZIP_DEFLATED, ZipFile

from support.pictures import picture

BLOCK = 10_000_000  # bytes, of zeros
LINK_MODE = 0o120777


def zipped(*entries: tuple[str, bytes], method: int = ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", method) as file:
        for name, data in entries:
            file.writestr(name, data)
    return buffer.getvalue()


@dataclass
class Entry:
    """What a zip file says about one of its files, and the packed bytes that it has."""

    name: str = "photo.png"
    packed: bytes = b""
    size: int | None = None
    crc: int = 0
    method: int = 0
    flags: int = 0x800
    mode: int = 0o100644

    @property
    def middle(self) -> bytes:
        """Return the fields that stand in the local header and in the list alike."""
        size = len(self.packed) if self.size is None else self.size
        sizes = struct.pack("<III", self.crc, len(self.packed), size)
        return struct.pack("<HHHHH", 20, self.flags, self.method, 0, 0x21) + sizes

    def local(self) -> bytes:
        name = self.name.encode()
        return b"PK\3\4" + self.middle + struct.pack("<HH", len(name), 0) + name + self.packed

    def listed(self, at: int) -> bytes:
        name = self.name.encode()
        rest = struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, self.mode << 16, at)
        return b"PK\1\2" + struct.pack("<H", 0x0314) + self.middle + rest + name


def forged(entries: Iterable[Entry], listed_bytes: int | None = None) -> bytes:
    """Return a zip file that says exactly this; `listed_bytes` is how long it says its list is."""
    body, names = bytearray(), bytearray()
    entries = list(entries)
    for entry in entries:
        names += entry.listed(len(body))
        body += entry.local()
    length = len(names) if listed_bytes is None else listed_bytes
    count = len(entries) % 2**16
    end = struct.pack("<HHHHIIH", 0, 0, count, count, length, len(body), 0)
    return bytes(body + names) + b"PK\5\6" + end


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def zeros(blocks: int) -> bytes:
    """Return `blocks` times BLOCK zeros, deflated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * blocks + packer.flush()


def bomb_of_many() -> bytes:
    """Return 10 MB that hold 1,000 files of 10 MB each, 10 GB."""
    packed, crc = zeros(1), zlib.crc32(bytes(BLOCK))
    return forged(Entry(f"{n}.bmp", packed, BLOCK, crc, method=8) for n in range(1000))


def bomb_within_the_limits() -> bytes:
    """Return 200 files of 10 MB each, 2 GB, as much as may be unpacked, from 2 MB."""
    packed, crc = zeros(1), zlib.crc32(bytes(BLOCK))
    return forged(Entry(f"{n}.bmp", packed, BLOCK, crc, method=8) for n in range(200))


def bomb_that_lies() -> bytes:
    """Return 10 MB of one file of 10 GB that declares 15 MB."""
    return forged([Entry("a.bmp", zeros(1000), 15_000_000, method=8)])


def link(name: str = "a.png", target: str = "/etc/passwd") -> Entry:
    return Entry(name, target.encode(), crc=zlib.crc32(target.encode()), mode=LINK_MODE)


def stored(name: str, data: bytes, **changes: int) -> Entry:
    return Entry(name, data, crc=zlib.crc32(data), **changes)


PNG = picture("lime")
# A zip file, and its sentence: in place of the zip file, or in that of its only photo.
HOSTILE = {
    "bomb of many files": (bomb_of_many, "MB when it is unpacked, more than the 2,048 MB allowed"),
    "bomb within the limits": (bomb_within_the_limits, "packed more tightly than a photo can be"),
    "bomb that lies": (bomb_that_lies, "damaged inside the zip file"),
    "100,000 files": (lambda: forged(Entry(f"{n}.png") for n in range(100_000)), "lists far more files"),
    "1,001 files": (lambda: forged(Entry(f"{n}.png") for n in range(1001)), "holds 1,001 photos, but one request"),
    "a list that is said to be 4 GB long": (lambda: forged([stored("a.png", PNG)], 2**32 - 1), "damaged or incomplete"),
    "a link": (lambda: forged([link()]), "a link to a file outside"),
    "encrypted": (lambda: forged([stored("a.png", PNG, flags=0x801)]), "locked with a password"),
    "nested": (lambda: zipped(("a.jpg", zipped(("b.png", PNG)))), "a zip file inside a zip file"),
    "packed as LZMA": (lambda: zipped(("a.png", PNG), method=14), "packed in a way"),
    "a photo with a wrong checksum": (lambda: forged([Entry("a.png", PNG, crc=1)]), "damaged inside the zip file"),
    "a photo cut off": (lambda: forged([Entry("a.png", deflated(PNG)[:50], len(PNG), method=8)]), "damaged inside"),
    "a photo of 21 MB": (lambda: forged([Entry("a.png", b"x" * 21, 22_000_000, method=8)]), "more than the 20 MB"),
    "cut off": (lambda: zipped(("a.png", PNG))[:-30], "damaged or incomplete"),
    "only its beginning": (lambda: b"PK\3\4" * 99, "damaged or incomplete"),
    "empty": (lambda: zipped(), "no files with names such as"),
    "only folders and what systems add": (
        lambda: zipped(("a/", b""), ("__MACOSX/._a.jpg", b"x"), (".DS_Store", b"x"), ("a/Thumbs.db", b"x")),
        "no files with names such as",
    ),
    "only text": (lambda: zipped(("notes.txt", b"x"), ("more/notes.md", b"x")), "no files with names such as"),
    "a .docx": (
        lambda: zipped(("[Content_Types].xml", b"<x/>"), ("word/media/image1.png", PNG)),
        "a document or a program",
    ),
    "a .jar": (lambda: zipped(("META-INF/MANIFEST.MF", b"x"), ("icon.png", PNG)), "a document or a program"),
}
