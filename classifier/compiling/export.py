"""A Keras network -> the same network for OpenVINO, with its preprocessing and for any number of images."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from classifier.errors import StartupError
from classifier.models import openvino_runtime
from classifier.text import one_line

if TYPE_CHECKING:
    import keras


def use_tensorflow() -> None:
    """Let Keras run on TensorFlow, whose graphs OpenVINO reads; must be called before Keras is imported.

    Raises StartupError where that is not possible.
    """
    is_other = "keras" in sys.modules and os.environ.get("KERAS_BACKEND") != "tensorflow"
    if is_other or not find_spec("tensorflow"):
        raise StartupError(
            "compiling needs TensorFlow, which is not installed; install it with: "
            ".venv/bin/pip install -c constraints.txt -e '.[cpu,compile]'"
        )
    os.environ["KERAS_BACKEND"] = "tensorflow"


@contextmanager
def same_log() -> Iterator[None]:
    """Keep the level and the handlers of the log, which OpenVINO changes and, after an error, does not restore."""
    log = logging.getLogger()
    level, filters, handlers = log.level, [*log.filters], [*log.handlers]
    try:
        yield
    finally:
        log.setLevel(level)
        log.filters, log.handlers = filters, handlers


def exported(network: "keras.Model", with_features: bool = False) -> Any:
    """Return OpenVINO's network, uint8 (n, h, w, 3) -> float32 (n, classes), and the features if they are asked for.

    Raises StartupError.
    """
    from classifier.models import backend
    from classifier.models.network_features import beside_features

    openvino = openvino_runtime.imported()
    whole = beside_features(network) if with_features else network
    try:
        with same_log():
            found = openvino.convert_model(backend.tensorflow_function(whole).get_concrete_function())
    except Exception as exc:  # OpenVINO raises its own errors, RuntimeError, ... by operation
        raise StartupError(f"OpenVINO cannot convert the network {network.name} ({one_line(exc)}).") from exc
    # The first outputs are the function's; those of custom gradients, such as that of swish, follow them.
    results = found.get_results()[: 1 + with_features]
    return openvino.Model([result.input_value(0) for result in results], found.get_parameters())
