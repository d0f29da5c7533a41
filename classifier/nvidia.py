"""NVIDIA's cards, as `nvidia-smi` lists them.

Only the standard library, because scripts/choose_backend.py imports this before anything is installed.
"""

import subprocess
from pathlib import Path
from typing import NamedTuple

QUERY = ("nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader")
ANSWERS_WITHIN_S = 20
NEW_FOR_TENSORFLOW = (10, 0)  # Blackwell: from this capability on, TensorFlow 2.21 lists a card and then fails on it
DEVICE_FILE = Path("/dev/nvidia0")  # there even where a container lacks nvidia-smi


class Card(NamedTuple):
    """A card: its name, compute capability ("9.0" is an H100's) and driver version ("570.86.15")."""

    name: str
    capability: str
    driver: str


def cards(query: tuple[str, ...] = QUERY) -> list[Card]:
    """Return the cards that nvidia-smi lists; none if it is missing, fails or does not answer in time."""
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=ANSWERS_WITHIN_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [] if listed.returncode else [card for line in listed.stdout.splitlines() if (card := parsed(line))]


def parsed(line: str) -> Card | None:
    """Return the card of a line such as "NVIDIA H200, 9.0, 570.86.15"; None if the line describes none."""
    parts = [part.strip() for part in line.rsplit(",", 2)]
    try:
        card = Card(*parts)
        return card if numbers(card.capability) and numbers(card.driver) else None
    except (TypeError, ValueError):
        return None


def numbers(version: str) -> tuple[int, ...]:
    """Return (570, 86, 15) for "570.86.15". Raises ValueError."""
    return tuple(int(number) for number in version.split("."))
