"""A toy model that is steered by files, so that it can be held and watched in any process."""

import time
from pathlib import Path

import numpy as np
from conftest import ToyModel


class HeldModel(ToyModel):
    """Waits while `hold` is in the folder, notes its batches there, fails on black (an exception) and white (a NaN)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, images: np.ndarray) -> np.ndarray:
        with (self.folder / "batches").open("a") as file:
            file.write(f"{len(images)}\n")
        while (self.folder / "hold").exists():
            time.sleep(0.01)
        means = images.mean(axis=(1, 2, 3))
        if (means == 0).any():
            raise MemoryError("out of device memory")
        scores = super().__call__(images)
        scores[means == 255] = np.nan
        return scores


class Steering:
    """The other end of those files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def hold(self) -> None:
        self.batches_file.write_text("")
        (self.folder / "hold").touch()

    def go_on(self) -> None:
        (self.folder / "hold").unlink(missing_ok=True)

    @property
    def batches_file(self) -> Path:
        return self.folder / "batches"

    def batches(self) -> list[int]:
        return [int(line) for line in self.batches_file.read_text().split()]
