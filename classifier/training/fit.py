"""Batches of photos, and the training loop around a network, which always ends with its best weights."""

import logging
import math
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np

from classifier.dataset.reading import Dataset
from classifier.errors import DataError
from classifier.models.backend import Run
from classifier.progress import progress
from classifier.training.options import Augmentation, Options
from classifier.training.recipes import AUGMENTATIONS

log = logging.getLogger(__name__)

History = dict[str, list[float]]  # loss, accuracy, val_loss, val_accuracy by epoch; empty without epochs


class Fitted(NamedTuple):
    """A fitted network, and logits that show how it answers photos that it was not fitted to.

    `features` are those of a frozen backbone, float32 (m, channels), of the training and then the validation photos,
    and `extract` is that backbone, compiled.
    """

    network: keras.Model  # uint8 photos -> logits
    history: History
    logits: np.ndarray  # (n, classes)
    labels: np.ndarray  # int (n,), the true ones
    features: np.ndarray | None = None
    extract: Run | None = None


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras is untyped
    """Inputs and labels, int (n,), in batches; reshuffled every epoch if there is a `seed`.

    `take` returns the inputs at an array of indices. Augmented photos are uint8 (n, h, w, 3) again, so they pass
    through the same network as any other photo.
    """

    def __init__(
        self,
        take: Callable[[np.ndarray], np.ndarray],
        labels: np.ndarray,
        indices: np.ndarray,
        batch_size: int,
        seed: int | None = None,
        augment: Sequence[Augmentation] = (),
    ) -> None:
        super().__init__()
        self._take = take
        self._labels = labels
        self._indices = indices
        self._batch_size = batch_size
        self._random = None if seed is None else np.random.default_rng(seed)
        self._augmentations = [AUGMENTATIONS[name](seed or 0) for name in augment]
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._indices) // self._batch_size)

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        indices = self._indices[batch * self._batch_size :][: self._batch_size]
        return self._augmented(self._take(indices)), self._labels[indices]

    def on_epoch_end(self) -> None:
        if self._random is not None:
            self._indices = self._random.permutation(self._indices)

    def _augmented(self, pixels: np.ndarray) -> np.ndarray:
        if not self._augmentations:
            return pixels
        changed = keras.ops.cast(pixels, "float32")
        for layer in self._augmentations:
            changed = layer(changed, training=True)
        return keras.ops.convert_to_numpy(changed).round().clip(0, 255).astype(np.uint8)  # type: ignore[no-any-return]


class Best(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
    """The weights with the lowest validation loss, in memory: an interrupt cannot leave half of them on disk."""

    def __init__(self, weights: list[np.ndarray] | None = None, loss: float = math.inf) -> None:
        super().__init__()
        self.weights, self.loss = weights, loss

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if logs["val_loss"] < self.loss:
            self.weights, self.loss = self.model.get_weights(), logs["val_loss"]


def fit(
    network: keras.Model,
    train: Batches,
    validation: Batches,
    options: Options,
    *,
    learning_rate: float | None = None,
    class_weights: dict[int, float] | None = None,
    to_beat: float | None = None,
) -> History:
    """Train until the validation loss has not improved for `options.patience` epochs, and keep the best weights.

    `network` returns logits. `learning_rate` overrides the one in `options`. If `to_beat` is given, it is the
    validation loss of the weights the network comes with, which then count as the best so far. An interrupt (Ctrl-C)
    ends the training as patience does. Raises KeyboardInterrupt if there are no best weights yet, and DataError if no
    epoch has a finite loss.
    """
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(learning_rate or options.learning_rate), loss, metrics=["accuracy"])
    history = keras.callbacks.History()
    best = Best() if to_beat is None else Best(network.get_weights(), to_beat)
    stops = [keras.callbacks.EarlyStopping("val_loss", patience=options.patience), keras.callbacks.TerminateOnNaN()]
    try:
        network.fit(
            train,
            validation_data=validation,
            epochs=options.epochs,
            callbacks=[history, best, *stops],
            class_weight=class_weights,
            verbose="auto" if sys.stdout.isatty() else 2,
            shuffle=False,
        )
    except KeyboardInterrupt:
        if best.weights is None:
            raise
        log.warning("Interrupted; the best weights so far are kept.")
    if best.weights is None:
        raise DataError("The training diverged: the loss is not a number. A lower --learning-rate may help.")
    network.set_weights(best.weights)
    return dict(history.history)


def outputs(run: Run, photos: Dataset, indices: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the outputs of a compiled network, float32 (len(indices), channels), for some photos."""
    steps = [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
    seen = progress(steps, "Photos through the network", len(steps))
    return np.concatenate([run(photos.take(step)) for step in seen])
