"""Post-training quantisation with NNCF: weights and activations in 8 bits; the only module that imports NNCF."""

import logging
import sys
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from classifier.errors import StartupError
from classifier.models.openvino_runtime import TELEMETRY
from classifier.models.quick_start import hidden

CONVOLUTIONS = ("Convolution", "GroupConvolution")


def quantised(network: Any, images: np.ndarray, has_vnni: bool) -> Any:
    """Return OpenVINO's network in int8, with the ranges that it needs for `images`, uint8 (n, h, w, 3).

    Without VNNI, a processor adds up products of 8 bits in 16, which overflow, so the weights get 7 bits.

    By default, NNCF gives each channel of a depthwise convolution's input the range that it has for these few images,
    which cuts off what others need; here all channels have one range. In networks with such convolutions, the
    correction of a bias also sees the errors of earlier layers, and `sensitive` operations stay in float32. Calibrated
    on flowers, EfficientNet-Lite2 and MobileNetV2 then keep the first name of 97.1% of 240 crops of other photos, where
    they kept 92.5 and 94.6% with the defaults; docs/compile.md has more figures.

    Raises StartupError if NNCF is not installed.
    """
    nncf = imported()
    in_float32 = sensitive(network)
    one_range = nncf.quantization.advanced_parameters.QuantizationParameters(per_channel=False)
    with redirect_stdout(sys.stderr):  # for its progress bar
        return nncf.quantize(
            network,
            nncf.Dataset([image[np.newaxis] for image in images]),
            subset_size=len(images),
            fast_bias_correction=not in_float32,
            ignored_scope=nncf.IgnoredScope(names=in_float32),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.DISABLE if has_vnni else nncf.OverflowFix.ENABLE,
                activations_quantization_params=one_range,
            ),
        )


def sensitive(network: Any) -> list[str]:
    """Return the names of the operations of a network with depthwise convolutions that 8 bits would harm most.

    These are the sums of branches, which cost nothing in float32, and the first block: the first three convolutions if
    the second is depthwise, as in MobileNet and EfficientNet. Its filters for edges subtract large, nearly equal
    numbers, so its input in 8 bits causes more than half of the whole error. A network without depthwise convolutions
    has none.
    """
    operations = network.get_ordered_ops()
    convolutions = [each for each in operations if each.get_type_name() in CONVOLUTIONS]
    if not any(map(is_depthwise, convolutions)):
        return []
    first_block = convolutions[:3] if any(map(is_depthwise, convolutions[1:2])) else []
    return [each.get_friendly_name() for each in (*first_block, *filter(is_sum, operations))]


def is_depthwise(convolution: Any) -> bool:
    """Return whether every filter of a convolution sees one channel."""
    channels = convolution.input_value(1).get_partial_shape()[2]  # of (groups, out, in, ...)
    return convolution.get_type_name() == "GroupConvolution" and bool(channels == 1)


def is_sum(operation: Any) -> bool:
    """Return whether an operation adds two branches of the network, neither of which is a constant."""
    terms = [value.get_node().get_type_name() for value in operation.input_values()]
    return operation.get_type_name() == "Add" and "Constant" not in terms


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
