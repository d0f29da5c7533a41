"""Colours that a file declares by numbers instead of a profile -> an ICC profile. Source: ITU-T H.273, ICC.1:2010."""

import struct
from functools import lru_cache

import numpy as np

BT_709, BT_2020, P3 = 1, 9, 12  # of the primaries
LINEAR, PQ, HLG = 8, 16, 18  # of the transfer characteristics; cameras and programs mean sRGB's by most others
# The primaries' X, Y and Z, adapted to the white of ICC profiles (D50).
PRIMARIES = {
    BT_709: ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
    BT_2020: ((0.67348, 0.27904, -0.00194), (0.16567, 0.67534, 0.02998), (0.12505, 0.04561, 0.79686)),
    P3: ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
}
D50 = (0.9642, 1.0, 0.8249)
WHITE_OF_PQ, WHITE_OF_HLG = (
    203 / 10_000,
    0.75,
)  # where HDR puts white paper (ITU-R BT.2408); what is brighter is cut off
LEVELS = 1024  # of a curve


@lru_cache
def profile(primaries: int, transfer: int) -> bytes:
    """Return the profile of a pair of numbers; b"" for sRGB, and for numbers that are not known."""
    is_srgb = primaries == BT_709 and transfer not in (LINEAR, PQ, HLG)
    if is_srgb or primaries not in PRIMARIES:
        return b""
    curve = b"curv" + bytes(4) + struct.pack(">I", LEVELS) + levels(transfer).tobytes()
    columns = (b"XYZ " + bytes(4) + fixed(*column) for column in PRIMARIES[primaries])
    tags = {b"wtpt": b"XYZ " + bytes(4) + fixed(*D50)}
    tags |= dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True))
    return packed(tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def levels(transfer: int) -> np.ndarray:
    """Return the light of evenly spaced values, big-endian uint16 (LEVELS,), white being the largest."""
    values = np.linspace(0, 1, LEVELS)
    curves = {LINEAR: values, PQ: pq(values) / WHITE_OF_PQ, HLG: (hlg(values) / hlg(np.array(WHITE_OF_HLG))) ** 1.2}
    light = curves.get(transfer, np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4))
    return np.asarray((light.clip(0, 1) * 65_535).round(), ">u2")


def pq(values: np.ndarray) -> np.ndarray:
    """Return the light of values from 0 to 1, as a share of 10,000 cd/m2. Source: SMPTE ST 2084."""
    powers = values ** (1 / 78.84375)
    light: np.ndarray = (np.maximum(powers - 0.8359375, 0) / (18.8515625 - 18.6875 * powers)) ** (1 / 0.1593017578125)
    return light


def hlg(values: np.ndarray) -> np.ndarray:
    """Return the light of the scene for values from 0 to 1. Source: ARIB STD-B67."""
    bright = (np.exp((values - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.asarray(np.where(values <= 0.5, values**2 / 3, bright))


def packed(tags: dict[bytes, bytes]) -> bytes:
    """Return a profile for screens with these tags, each of which is padded to four bytes."""
    at, table, content = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, at + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s12x4s28x", at + len(content), b"", 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return head + fixed(*D50) + bytes(48) + table + content


def fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65_536) for number in numbers))
