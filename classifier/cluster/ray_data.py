"""Rows for very many photos by Ray Data: tasks read and decode, actors hold the model."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from classifier.contract import Answer, ModelInfo, Prediction, Resize, ServedModel
from classifier.errors import ClassifierError
from classifier.options import Limits
from classifier.photos import files
from classifier.photos.decode import read
from classifier.photos.fit import to_pixels
from classifier.prediction.rows import Row, answered
from classifier.serving.engine import LocalEngine
from classifier.terms import Broader

BATCH = 32
BLOCK_BYTES = 16 * 2**20  # of decoded photos on their way at once: about a hundred


class Streaming:
    """Answers files on the cluster at RAY_ADDRESS, or on one started here. `load` gives each actor its model, `model`.

    Raises StartupError if Ray is not installed.
    """

    def __init__(self, load: Callable[[], ServedModel], model: ModelInfo, limits: Limits) -> None:
        self._cluster = cluster()
        self._load = load
        self._model = model
        self._limits = limits

    def rows(self, files: Sequence[str]) -> Iterator[Row]:
        """Yield a row for every file, in no particular order, as they come."""
        if not files:
            return
        leave = self._cluster.connect(1)
        try:
            for row in self._stream(files).iter_rows():
                yield self._row(row)
        finally:
            leave()

    def _row(self, row: dict[str, Any]) -> Row:
        path = Path(row["file"])
        if row["error"]:
            return Row(path, error=row["error"])
        answer = json.loads(row["answer"])
        predictions = tuple(Prediction(**best) for best in answer["predictions"])
        broader = Broader(**answer["broader"]) if answer["broader"] else None
        without = answered(path, predictions, broader, self._model.sure_from())
        return without._replace(familiar=answer["familiar"], familiarity=answer["familiarity"])

    def _stream(self, files: Sequence[str]) -> Any:
        data = self._cluster.ray.data
        context = data.DataContext.get_current()
        context.target_max_block_size = BLOCK_BYTES
        context.enable_progress_bars = False
        found = data.from_items([{"file": file} for file in files], override_num_blocks=1 + len(files) // 256)
        # Half a core: decoding waits for files, and Ray would fuse a task that needs as much as an actor into it.
        model = self._model
        decoding = {"size": model.size, "resize": model.resize, "max_megapixels": self._limits.max_megapixels}
        decoded = found.map(decode, fn_kwargs=decoding, num_cpus=0.5)
        return decoded.map_batches(
            Predictor, fn_constructor_args=(self._load, self._limits), batch_size=BATCH, **self._actors()
        )

    def _actors(self) -> dict[str, Any]:
        """Return one actor per GPU if there are any, otherwise one per four cores: a model on a CPU uses several."""
        resources = self._cluster.ray.cluster_resources()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        pool = self._cluster.ray.data.ActorPoolStrategy(size=gpus or max(1, cpus // 4))
        return {"compute": pool, "num_gpus": 1} if gpus else {"compute": pool, "num_cpus": 1}


def cluster() -> Any:
    """Return the module that imports Ray. Raises StartupError with what to install."""
    from classifier.cluster import ray_serve

    return ray_serve


def decode(row: dict[str, Any], size: tuple[int, int], resize: Resize, max_megapixels: float) -> dict[str, Any]:
    """Add the pixels that the model looks at, or the error."""
    try:
        image = read(files.read(Path(row["file"])), size, resize, max_megapixels)
    except ClassifierError as error:
        return row | {"error": str(error), "pixels": np.zeros((*size, 3), np.uint8)}
    return row | {"error": "", "pixels": to_pixels(image, size, resize)}


class Predictor:
    """A local engine in an actor of its own."""

    def __init__(self, load: Callable[[], ServedModel], limits: Limits) -> None:
        self._engine = LocalEngine(load(), limits)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """Turn a batch's columns `file`, `error`, `pixels` (n, h, w, 3) into `file`, `error`, `answer` (JSON)."""
        errors = list(batch["error"])
        answers = [""] * len(errors)
        wanted = [i for i, error in enumerate(errors) if not error]
        for i, answer in zip(wanted, self._engine.classify_pixels([batch["pixels"][i] for i in wanted]), strict=True):
            if isinstance(answer, ClassifierError):
                errors[i] = str(answer)
            else:
                answers[i] = as_json(answer)
        return {"file": batch["file"], "error": np.array(errors, object), "answer": np.array(answers, object)}


def as_json(answer: Answer) -> str:
    """Return the parts of an answer that a row needs."""
    return json.dumps(
        {
            "predictions": [asdict(best) for best in answer.predictions],
            "broader": asdict(answer.broader) if answer.broader else None,
            "familiar": answer.familiar,
            "familiarity": answer.familiarity,
        }
    )
