"""Post-training quantisation with NNCF: weights and activations in 8 bits; the only module that imports NNCF."""

import logging
import sys
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from classifier.errors import StartupError
from classifier.models.openvino_runtime import TELEMETRY
from classifier.models.quick_start import hidden


def quantised(network: Any, images: np.ndarray, has_vnni: bool) -> Any:
    """Return OpenVINO's network in int8, with the ranges that it needs for `images`, uint8 (n, h, w, 3).

    Without VNNI, a processor adds up products of 8 bits in 16, which overflow, so the weights get 7 bits.
    Raises StartupError if NNCF is not installed.
    """
    nncf = imported()
    overflow_fix = nncf.OverflowFix.DISABLE if has_vnni else nncf.OverflowFix.ENABLE
    with redirect_stdout(sys.stderr):  # for its progress bar
        return nncf.quantize(
            network,
            nncf.Dataset([image[np.newaxis] for image in images]),
            subset_size=len(images),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow_fix),
        )


def imported() -> Any:
    """Return the module of NNCF. Raises StartupError if it is not installed."""
    loggers = logging.getLoggerClass()
    try:
        with hidden(TELEMETRY):
            import nncf
    except ImportError as exc:
        raise StartupError(
            "int8 needs NNCF, which is not installed; install it with: "
            ".venv/bin/pip install -c constraints.txt -e '.[compile]'"
        ) from exc
    finally:
        logging.setLoggerClass(loggers)  # NNCF replaces the class for everybody
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf
