"""Devices, compilation and gradients; the only file that distinguishes Keras' backends (`KERAS_BACKEND`).

These are TensorFlow, JAX and PyTorch.
"""

import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from classifier import installed

Run = Callable[[np.ndarray], np.ndarray]


def prepare() -> None:
    """Let the backend take GPU memory as needed, not all at once. Must be called before the first model is built."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    elif compiles_each_shape() and _jax_gpu():
        keep_compiled_models()


def keep_compiled_models() -> None:
    """Let JAX keep what it compiles for a GPU, which takes VGG16 half a minute, for the next start."""
    import jax

    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(installed.keras_home() / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def compute_float32_exactly() -> None:
    """Keep the backend from rounding float32 to TF32's 10 bits on a GPU, so that it answers as a CPU does."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(False)
    elif keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest")
    elif keras.backend.backend() == "torch":
        import torch

        torch.backends.cudnn.allow_tf32 = False


def device_name() -> str:
    """Return the device that runs models: "GPU (NVIDIA H200)" or "CPU"."""
    finders: dict[str, Callable[[], str | None]] = {
        "tensorflow": _tensorflow_gpu,
        "jax": _jax_gpu,
        "torch": _torch_gpu,
    }
    gpu = finders[keras.backend.backend()]()
    return f"GPU ({gpu})" if gpu else "CPU"


def _tensorflow_gpu() -> str | None:
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
    return None


def _jax_gpu() -> str | None:
    import jax

    device = jax.devices()[0]
    return None if device.platform == "cpu" else str(device.device_kind)


def _torch_gpu() -> str | None:
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


def unwritten_zeros(shape: tuple[int, ...], dtype: str) -> Any:
    """Return a tensor of zeros, which with TensorFlow on a CPU takes no memory until it is written to."""
    if keras.backend.backend() != "tensorflow" or dtype != "float32" or _tensorflow_gpu():
        return keras.ops.zeros(shape, dtype)
    import tensorflow as tf

    count, alignment = int(np.prod(shape)), 64 // 4  # TensorFlow's, in numbers of 4 bytes
    memory = np.zeros(count + alignment, np.float32)  # pages that the system has not provided yet
    start = -(memory.ctypes.data // 4) % alignment
    return tf.experimental.dlpack.from_dlpack(memory[start : start + count].reshape(shape).__dlpack__())


def compiles_each_shape() -> bool:
    """Return True if the first run of each batch size compiles the model again."""
    return str(keras.backend.backend()) == "jax"


def compiled(model: keras.Model) -> Run:
    """Compile the model into a function of host arrays: uint8 (n, h, w, c) -> float32 (n, classes).

    TensorFlow traces it once for all n. JAX compiles it again for each new n, so callers must keep to a few batch
    sizes and run each of them once before they serve.
    """
    compilers = {
        "tensorflow": _compiled_tensorflow,
        "jax": _compiled_jax,
        "torch": _compiled_torch,
    }
    return compilers[keras.backend.backend()](model)


def _compiled_tensorflow(model: keras.Model) -> Run:
    function = tensorflow_function(model)
    return lambda images: function(images).numpy()


def tensorflow_function(model: keras.Model) -> Any:
    """Return TensorFlow's function of a model, uint8 (n, h, w, c) -> float32 (n, classes), traced once for all n."""
    import tensorflow as tf

    return tf.function(
        lambda images: model(images, training=False),
        input_signature=[tf.TensorSpec(model.input_shape, tf.uint8, name="images")],
        autograph=False,
    )


def _compiled_jax(model: keras.Model) -> Run:
    import jax

    state = _jax_state(model)
    function = jax.jit(lambda state, images: model.stateless_call(*state, images, training=False)[0])
    return lambda images: np.asarray(function(state, images))


def _compiled_torch(model: keras.Model) -> Run:
    import torch

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(keras.ops.convert_to_numpy(model(keras.ops.convert_to_tensor(images), training=False)))

    return run


def gradient(model: keras.Model) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return a function (inputs, index) -> the gradient of the first output row's entry `index` by the inputs."""
    functions = {"tensorflow": _gradient_tensorflow, "jax": _gradient_jax, "torch": _gradient_torch}
    return functions[keras.backend.backend()](model)


def _gradient_tensorflow(model: keras.Model) -> Callable[[np.ndarray, int], np.ndarray]:
    import tensorflow as tf

    @tf.function(autograph=False)  # type: ignore[untyped-decorator,unused-ignore]
    def function(inputs: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            entry = model(inputs, training=False)[0, index]
        return tape.gradient(entry, inputs)

    return lambda inputs, index: np.asarray(function(tf.constant(inputs), tf.constant(index)))


def _gradient_jax(model: keras.Model) -> Callable[[np.ndarray, int], np.ndarray]:
    import jax

    state = _jax_state(model)
    function = jax.jit(
        jax.grad(lambda inputs, index, state: model.stateless_call(*state, inputs, training=False)[0][0, index])
    )
    return lambda inputs, index: np.asarray(function(inputs, index, state))


def _gradient_torch(model: keras.Model) -> Callable[[np.ndarray, int], np.ndarray]:
    import torch

    def run(inputs: np.ndarray, index: int) -> np.ndarray:
        tensor = keras.ops.convert_to_tensor(inputs).requires_grad_()
        with torch.enable_grad():
            (found,) = torch.autograd.grad(model(tensor, training=False)[0, index], tensor)
        return np.asarray(keras.ops.convert_to_numpy(found))

    return run


def _jax_state(model: keras.Model) -> tuple[list[Any], list[Any]]:
    trainable = [variable.value for variable in model.trainable_variables]
    return trainable, [variable.value for variable in model.non_trainable_variables]
