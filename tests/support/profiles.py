"""ICC profiles made for tests: of a wide colour space, of grey, and of inks. Source: ICC.1:2010, sections 7 to 10."""

import struct

D50 = (0.9642, 1.0, 0.8249)
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
PROPHOTO = ((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249))
INKS = ((55, -37, -50), (48, 74, -3), (89, -5, 93), (16, 0, 0))  # L*a*b* of full cyan, magenta, yellow and black


def wide(primaries: tuple[tuple[float, ...], ...] = DISPLAY_P3, gamma: float = 2.2) -> bytes:
    return shaped(curve(gamma), primaries)


def shaped(curve: bytes, primaries: tuple[tuple[float, ...], ...] = DISPLAY_P3) -> bytes:
    tags = {name + b"XYZ": xyz(*colour) for name, colour in zip((b"r", b"g", b"b"), primaries, strict=True)}
    return profile(b"RGB ", tags | {name + b"TRC": curve for name in (b"r", b"g", b"b")})


def grey(gamma: float) -> bytes:
    return profile(b"GRAY", {b"kTRC": curve(gamma)})


def inks() -> bytes:
    """Return a profile for CMYK; a mixture of inks is as dark as both together."""
    table = b"".join(lab8(mixture) for mixture in range(16))
    linear = bytes(range(256))
    identity = b"".join(fixed(float(i in (0, 4, 8))) for i in range(9))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + linear * 4 + table + linear * 3
    return profile(b"CMYK", {b"A2B0": lut}, kind=b"prtr", space=b"Lab ")


def lab8(mixture: int) -> bytes:
    """Return L*a*b* in three bytes for a mixture of inks, cyan being the highest of its four bits."""
    lightness, a, b = 100.0, 0.0, 0.0
    for ink, colour in enumerate(INKS):
        if mixture >> (3 - ink) & 1:
            lightness, a, b = lightness * colour[0] / 100, a + colour[1], b + colour[2]
    return bytes([round(lightness * 2.55), *(min(255, max(0, round(value) + 128)) for value in (a, b))])


def profile(colours: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", space: bytes = b"XYZ ") -> bytes:
    tags = {b"desc": b"desc\0\0\0\0\0\0\0\2x\0" + bytes(78), b"wtpt": xyz(*D50)} | tags
    at, table, content = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, at + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s12x4s28x", at + len(content), b"", 0x02400000, kind, colours, space, b"acsp")
    return head + b"".join(map(fixed, D50)) + bytes(48) + table + content


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def table(*values: int) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *values)


def parametric(kind: int, *parameters: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">Hxx", kind) + b"".join(map(fixed, parameters))


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))
