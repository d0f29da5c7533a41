"""Choose Keras' back end for this machine: `make install` runs this in the new environment, before anything else.

It prints the extra of pyproject.toml to install, says on stderr what was chosen and why, and notes the back end in the
environment, where the site finds it. Only the standard library.
"""

import argparse
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from classifier import installed, nvidia
from classifier.nvidia import Card

# The oldest drivers for any CUDA 12 and 13, and the oldest cards (Turing) for CUDA 13 and for cuDNN 9.11 or newer, by
# https://docs.nvidia.com/deeplearning/cudnn/backend/latest/reference/support-matrix.html (of 9.17). NVIDIA's
# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html has the same drivers, and
# https://docs.jax.dev/en/latest/installation.html that for CUDA 12.
DRIVER_FOR_CUDA_12, DRIVER_FOR_CUDA_13, OLDEST_CAPABILITY = (525, 60, 13), (580, 65, 6), (7, 5)


class Choice(NamedTuple):
    """A back end of Keras, the extra that installs it, and why."""

    backend: str
    extra: str
    reason: str


def choose(cards: Sequence[Card], wish: str, machine: str = platform.machine()) -> Choice:
    """Return what fits the cards; `wish` is tensorflow, jax, cpu, or "" for the best."""
    if wish == "cpu":
        return Choice("tensorflow", "cpu", "as BACKEND=cpu asks for")
    if reason := why_no_cuda(cards):
        return Choice("jax", "jax", reason) if wish == "jax" else Choice("tensorflow", "cpu", reason)
    newest = max(cards, key=capability)
    reason = f"for {newest.name} (capability {newest.capability}, driver {newest.driver})"
    if wish == "tensorflow" or (not wish and machine == "x86_64" and capability(newest) < nvidia.NEW_FOR_TENSORFLOW):
        return Choice("tensorflow", "gpu", reason)
    return Choice("jax", f"jax-cuda{cuda_for(cards)}", reason)


def why_no_cuda(cards: Sequence[Card]) -> str:
    """Return why no card can be used, "" if one can."""
    if not cards:
        return "as nvidia-smi lists no card"
    if driver(cards[0]) < DRIVER_FOR_CUDA_12:
        return f"as driver {cards[0].driver} is older than {dotted(DRIVER_FOR_CUDA_12)}, which CUDA 12 needs"
    newest = max(cards, key=capability)
    if capability(newest) < OLDEST_CAPABILITY:
        return f"as {newest.name} has capability {newest.capability}, and cuDNN needs {dotted(OLDEST_CAPABILITY)}"
    return ""


def cuda_for(cards: Sequence[Card]) -> int:
    """Return the newest CUDA that the driver and all cards support, 12 or 13."""
    is_new = all(driver(card) >= DRIVER_FOR_CUDA_13 and capability(card) >= OLDEST_CAPABILITY for card in cards)
    return 13 if is_new else 12


def capability(card: Card) -> tuple[int, ...]:
    return nvidia.numbers(card.capability)


def driver(card: Card) -> tuple[int, ...]:
    return nvidia.numbers(card.driver)


def dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def without_conflict(choice: Choice, present: Sequence[str]) -> tuple[str, str]:
    """Return (the extra to install, the distribution to remove first, or "").

    tensorflow and tensorflow-cpu are the same module, so only one of them may be there. An installed tensorflow serves
    a CPU as well.
    """
    if choice.extra == "cpu" and "tensorflow" in present:
        return "tensorflow", ""
    return choice.extra, "tensorflow-cpu" if choice.extra == "gpu" and "tensorflow-cpu" in present else ""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Choose Keras' back end for this machine.")
    parser.add_argument("--wish", default="", help="tensorflow, jax or cpu; empty for the best")
    wish = parser.parse_args(arguments).wish
    if wish not in ("", "tensorflow", "jax", "cpu"):
        sys.exit(f"BACKEND must be tensorflow, jax or cpu, not {wish!r}.")
    choice = choose(nvidia.cards(), wish)
    extra, conflict = without_conflict(choice, list(installed.versions()))
    print(f"Back end: {choice.backend} ({extra}), {choice.reason}. BACKEND= overrides.", file=sys.stderr)
    if conflict:
        subprocess.run([sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", conflict], check=True)
    installed.chosen_file().write_text(choice.backend + "\n", "utf-8")
    print(extra)


if __name__ == "__main__":
    main()
