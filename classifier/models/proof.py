"""The proof that a device computes: a VGG-shaped convolution and a dense layer, compared with NumPy.

`python -m classifier.models.proof --precision bfloat16` prints it as a line of JSON; `classifier.models.trial` runs it
as a child process.
"""

# ruff: noqa: E402
import argparse
import time
from typing import get_args

import numpy as np

from classifier.models.quick_start import import_keras

import_keras()  # before any other import of Keras, as it takes half the time
import keras

from classifier import installed
from classifier.models import backend
from classifier.models.precision import default_policy, prepare
from classifier.models.trial import Proof
from classifier.options import Precision

PHOTOS, SIDE, CHANNELS, CLASSES = 2, 14, 256, 64  # like a late block of VGG16, and a small last layer
# The largest difference allowed, in standard deviations of the right numbers. CPUs stay below an eighth of it; a
# wrong device is off by one or more. float32 may also be TF32, which keeps as many bits as float16.
TOLERANCES = {"float32": 0.02, "float16": 0.02, "bfloat16": 0.1}


def prove(precision: str) -> Proof:
    """Compute on the device that the back end offers, in `precision`, as the site does, and compare with NumPy."""
    started = time.monotonic()
    precision = prepare(precision)
    network = build(precision)
    images = np.random.default_rng(0).integers(0, 256, (PHOTOS, SIDE, SIDE, CHANNELS), np.uint8)
    computed = np.asarray(backend.compiled(network)(images), np.float64)
    right = expected(images, [np.asarray(weights, np.float64) for weights in network.get_weights()])
    difference = float(np.abs(computed - right).max() / right.std())
    return Proof(
        backend=installed.backend_version(),
        device=backend.device_name(),
        precision=precision,
        difference=round(difference, 6) if np.isfinite(difference) else None,
        tolerance=TOLERANCES[precision],
        seconds=round(time.monotonic() - started, 2),
    )


def build(precision: str) -> keras.Model:
    """Build the network, uint8 (n, SIDE, SIDE, CHANNELS) -> float32 (n, CLASSES), with weights from a fixed seed."""
    keras.utils.set_random_seed(0)
    images = keras.Input((SIDE, SIDE, CHANNELS), dtype="uint8")
    with default_policy(precision):
        x = keras.ops.cast(images, "float32") / 255 - 0.5
        x = keras.layers.Conv2D(CHANNELS, 3, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D()(x)
        x = keras.layers.Dense(CLASSES)(keras.layers.Flatten()(x))
    return keras.Model(images, keras.layers.Activation("linear", dtype="float32")(x))


def expected(images: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Return what `build`'s network must answer, by NumPy: float (n, CLASSES)."""
    kernel, bias, dense, dense_bias = weights  # (3, 3, in, out), (out,), (features, CLASSES), (CLASSES,)
    padded = np.pad(images / 255 - 0.5, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = (padded[:, i : i + SIDE, j : j + SIDE] @ kernel[i, j] for i in range(3) for j in range(3))
    x = np.maximum(sum(shifted) + bias, 0)  # (n, SIDE, SIDE, CHANNELS)
    x = x.reshape(len(images), SIDE // 2, 2, SIDE // 2, 2, CHANNELS).max(axis=(2, 4))
    return np.asarray(x.reshape(len(images), -1) @ dense + dense_bias)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m classifier.models.proof", description="Prove the device.")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32")
    print(prove(parser.parse_args().precision).model_dump_json())


if __name__ == "__main__":
    main()
