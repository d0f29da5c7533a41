"""The rows of very many photos by Ray Data: one kind of task reads and decodes, one kind of actor has the model."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from classifier.contract import Prediction, Resize, ServedModel
from classifier.errors import ClassifierError
from classifier.photos import files
from classifier.photos.decode import read
from classifier.photos.fit import to_pixels
from classifier.prediction.rows import Row, answered
from classifier.serving.engine import LocalEngine

BATCH = 32
BLOCK_BYTES = 16 * 2**20  # of decoded photos on their way at once: about a hundred
MAX_MEGAPIXELS = 50


class Streaming:
    """Answers files on the cluster at RAY_ADDRESS, or on one of this machine. `load` gives every actor its model.

    `size`, `resize` and `threshold` are the model's. Raises StartupError where Ray is not installed.
    """

    def __init__(
        self,
        load: Callable[[], ServedModel],
        size: tuple[int, int],
        resize: Resize = "crop",
        top: int = 5,
        threshold: float = 0.0,
    ) -> None:
        self._cluster = cluster()
        self._load = load
        self._decoding = {"size": size, "resize": resize}
        self._top = top
        self._threshold = threshold

    def rows(self, files: Sequence[str]) -> Iterator[Row]:
        """A row for every file, in no order, as they come."""
        if not files:
            return
        leave = self._cluster.connect(1)
        try:
            for row in self._stream(files).iter_rows():
                predictions = tuple(Prediction(**best) for best in json.loads(row["predictions"]))
                path = Path(row["file"])
                yield answered(path, predictions, self._threshold) if predictions else Row(path, error=row["error"])
        finally:
            leave()

    def _stream(self, files: Sequence[str]) -> Any:
        data = self._cluster.ray.data
        context = data.DataContext.get_current()
        context.target_max_block_size = BLOCK_BYTES
        context.enable_progress_bars = False
        found = data.from_items([{"file": file} for file in files], override_num_blocks=1 + len(files) // 256)
        # Half a core: decoding waits for files, and with as much as an actor it would be run inside of one.
        decoded = found.map(decode, fn_kwargs=self._decoding, num_cpus=0.5)
        return decoded.map_batches(
            Predictor, fn_constructor_args=(self._load, self._top), batch_size=BATCH, **self._actors()
        )

    def _actors(self) -> dict[str, Any]:
        """One per GPU where there are some, else one per four cores: a model on a CPU takes several."""
        resources = self._cluster.ray.cluster_resources()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        pool = self._cluster.ray.data.ActorPoolStrategy(size=gpus or max(1, cpus // 4))
        return {"compute": pool, "num_gpus": 1} if gpus else {"compute": pool, "num_cpus": 1}


def cluster() -> Any:
    """The module that has Ray. Raises StartupError, which says what to install."""
    from classifier.cluster import ray_serve

    return ray_serve


def decode(row: dict[str, Any], size: tuple[int, int], resize: Resize) -> dict[str, Any]:
    """What the model is to look at, or why there is nothing."""
    try:
        image = read(files.content(Path(row["file"])), size, resize, MAX_MEGAPIXELS)
    except ClassifierError as error:
        return row | {"error": str(error), "pixels": np.zeros((*size, 3), np.uint8)}
    return row | {"error": "", "pixels": to_pixels(image, size, resize)}


class Predictor:
    """A local engine in an actor of its own."""

    def __init__(self, load: Callable[[], ServedModel], top: int) -> None:
        self._engine = LocalEngine(load(), top=top, timeout_s=3600)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """A batch's columns: `file`, `error`, `pixels` (n, h, w, 3) -> `file`, `error`, `predictions` (JSON)."""
        errors = list(batch["error"])
        predictions = ["[]"] * len(errors)
        wanted = [i for i, error in enumerate(errors) if not error]
        for i, answer in zip(wanted, self._engine.classify_pixels([batch["pixels"][i] for i in wanted]), strict=True):
            if isinstance(answer, ClassifierError):
                errors[i] = str(answer)
            else:
                predictions[i] = json.dumps([asdict(best) for best in answer.predictions])
        return {"file": batch["file"], "error": np.array(errors, object), "predictions": np.array(predictions, object)}
