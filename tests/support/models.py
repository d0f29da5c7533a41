"""Toy models that classify by the average colour, so that every answer is predictable."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from classifier.contract import Label, ModelInfo, Resemblance, SimilarPhoto
from classifier.terms import Term, Terms

COLOURS = {"red": "red_fox", "lime": "Egyptian_cat", "blue": "blue_jay"}
# An olive picture is half a fox and half a cat, and so surely a mammal; a grey one is a third of each class.
TERMS = Terms((Term("n01861778", "mammal", (0, 1)), Term("n09999999", "alien", (1, 2))))


class ToyModel:
    """Answers red, green or blue: the channel that is brightest on average."""

    info = ModelInfo(
        name="toy",
        labels=[Label(f"n{i:08}", label) for i, label in enumerate(COLOURS.values())],
        size=(224, 224),
        resize="crop",
        device="CPU",
        precision="float32",
        is_random=False,
        threshold=0.0,
    )
    largest_run = 128

    def __init__(self, **changes: Any) -> None:
        self.info = replace(self.info, **changes)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        height, width = images.shape[1:3]
        rows = images.sum(axis=1, dtype=np.uint32)  # (n, width, 3); 50 times as fast as the mean over two axes
        means = rows.sum(axis=1) / (height * width) + 1.0  # (n, 3)
        return means / means.sum(axis=1, keepdims=True)

    def explain(self, image: np.ndarray, index: int) -> np.ndarray:
        """Return a heat map (7, 7) that is hot where the class's colour is strong."""
        return image[16::32, 16::32, index].astype(np.float32) / 255


def poisoned(predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """Predict, but fail if one of the images is black, and return no numbers for those that are white."""
    means = images.mean(axis=(1, 2, 3))
    if (means == 0).any():
        raise MemoryError("out of device memory")
    scores = predict(images)
    scores[means == 255] = np.nan
    return scores


class HeldModel(ToyModel):
    """Waits while the folder contains `hold`, records its batches there, fails on black (exception) and white (NaN)."""

    info = replace(ToyModel.info, terms=TERMS)

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __call__(self, images: np.ndarray) -> np.ndarray:
        with (self.folder / "batches").open("a") as file:
            file.write(f"{len(images)}\n")
        while (self.folder / "hold").exists():
            time.sleep(0.01)
        return poisoned(super().__call__, images)


class Steering:
    """Controls a HeldModel through its files, from any process."""

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


class MoodyModel(ToyModel):
    """As slow as a small network, so that photos meet in batches."""

    def __call__(self, images):
        time.sleep(0.01)
        means = images.mean(axis=(1, 2, 3))
        if (means == 0).any():
            threading.Event().wait()
        if (means == 255).any():
            raise MemoryError
        return super().__call__(images)


class ComparingModel(ToyModel):
    """Knows photos of each colour by their brightest channel: the purer the colour, the more familiar."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**{"compares": True, "judges": True, **changes})

    def compare(self, images: np.ndarray) -> tuple[np.ndarray, list[Resemblance]]:
        scores = self(images)
        return scores, [Resemblance(float((row.max() - row.min()) ** 0.5), SIMILAR) for row in scores]


SIMILAR = (
    SimilarPhoto("Egyptian_cat", 0.875, f"{'0' * 15}1.jpg"),
    SimilarPhoto("red_fox", 0.25, f"{'0' * 15}2.jpg"),
    SimilarPhoto("blue_jay", 0.125, ""),
)
