"""OpenVINO, which runs compiled networks on a CPU; the only module that imports it for serving."""

import ctypes
from pathlib import Path
from typing import Any

from classifier.errors import StartupError
from classifier.memory import linux_libc
from classifier.models.folder import CompiledPrecision
from classifier.models.quick_start import hidden

TELEMETRY = ("openvino_telemetry",)  # reports every import of OpenVINO and every use of its tools to its makers
# The precision of all that is not quantised. By default, OpenVINO computes in bfloat16 if the processor can.
HINTS: dict[CompiledPrecision, str] = {"int8": "f32", "bfloat16": "bf16", "float32": "f32"}
MAPS, MADV_DONTNEED = Path("/proc/self/maps"), 4  # of Linux' madvise(2)
PRECISIONS = {"bf16": "bfloat16", "f32": "float32"}


def imported() -> Any:
    """Return the module of OpenVINO. Raises StartupError if it is not installed."""
    try:
        with hidden(TELEMETRY):
            import openvino
    except ImportError as exc:
        raise StartupError(
            "A compiled model needs OpenVINO, which is not installed; install it with: "
            ".venv/bin/pip install -c constraints.txt -e '.[openvino]'"
        ) from exc
    return openvino


def read(graph: Path) -> Any:
    """Return the network of a `model.xml`. Raises RuntimeError if OpenVINO cannot read it."""
    return imported().Core().read_model(graph)


def with_first_output(network: Any) -> Any:
    """Return the part of a network that gives its first output; both share their operations."""
    return imported().Model([network.get_results()[0].input_value(0)], network.get_parameters())


def fold_constants(network: Any) -> None:
    """Compute what does not depend on a network's input, in place."""
    from openvino.passes import ConstantFolding, Manager

    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(network)


def compiled(graph: Any, precision: CompiledPrecision) -> Any:
    """Compile a network, or that of a `model.xml`, for this CPU. Raises RuntimeError if OpenVINO cannot read it."""
    # Threads that are bound to cores wait for each other, busily, while a core decodes photos or renders pages.
    properties = {"INFERENCE_PRECISION_HINT": HINTS[precision], "ENABLE_CPU_PINNING": False}
    return imported().Core().compile_model(graph, "CPU", properties)


def saved(network: Any, graph: Path, precision: CompiledPrecision) -> None:
    """Save a network as a `model.xml` with its `model.bin`; bfloat16, which has fewer digits, is kept as float16."""
    imported().save_model(network, graph, compress_to_fp16=precision == "bfloat16")


def let_go_of(constants: Path) -> None:
    """Give the pages of a `model.bin` that this process has mapped back to the system, which keeps them as its cache.

    The first run copies the weights into the order that the processor needs; from then on nothing reads the file.
    """
    if not (libc := linux_libc()):
        return
    for line in MAPS.read_text().splitlines():
        addresses, permissions, *_ = line.split(maxsplit=5)
        if line.endswith(f" {constants.resolve()}") and "w" not in permissions:
            start, end = (int(address, 16) for address in addresses.split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED)


def computed_in(network: Any, precision: CompiledPrecision) -> str:
    """Return the precision that a compiled network computes in: a processor without bfloat16 takes float32."""
    return (
        precision if precision == "int8" else PRECISIONS[network.get_property("INFERENCE_PRECISION_HINT").to_string()]
    )


def shape_of(port: Any) -> str:
    """Return the type and the shape of an input or output: "u8[?,224,224,3]"."""
    return f"{port.element_type.to_string()}{port.partial_shape}"
