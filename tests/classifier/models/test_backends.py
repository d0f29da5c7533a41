"""Keras on JAX answers as on TensorFlow, and so do the other back ends that are installed here.

JAX compiles a model for each batch size, so the models are small and compiled without much thought. Each back end needs
a process of its own.
"""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from support import cards
from support.groups import names

from classifier.models import device, trial
from web.settings import ROOT

OTHERS = [name for name in ("jax", "torch") if find_spec(name)]
ON_CPU = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}
QUICKLY = {
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
LIMIT_S = 300
ANSWER = """
import sys
from classifier.models.quick_start import import_keras
import_keras()
import keras
import numpy as np
from classifier.contract import Label
from classifier.models import model, precision
rng = np.random.default_rng(0)
images = keras.Input((48, 48, 3), dtype="uint8")
x = keras.layers.Rescaling(1 / 255)(keras.ops.cast(images, "float32"))
for filters in (8, 16):
    x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    x = keras.layers.BatchNormalization()(keras.layers.DepthwiseConv2D(3, strides=2, padding="same")(x))
x = keras.layers.MaxPooling2D()(x)
network = keras.Model(images, keras.layers.Dense(5)(keras.layers.Flatten()(x)))
network.set_weights([np.abs(rng.normal(0.1, 0.1, weight.shape)) for weight in network.get_weights()])
loaded = model.Model("small", precision.with_softmax(network, "small"), [Label("", "a")] * 5, resize="crop")
pixels = rng.integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
np.savez(sys.argv[1], scores=loaded(pixels), heat=loaded.explain(pixels[0], 3))
"""

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run Python on a back end; returns what it printed. JAX compiles equal computations once."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled"))}

    def run(backend, *arguments):
        environ = {**os.environ, **ON_CPU, **QUICKLY, **cache, "KERAS_BACKEND": backend}
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def answers(run, tmp_path_factory):
    """The answers of a back end, by name: probabilities (3, 5) and a heat map."""
    folder = tmp_path_factory.mktemp("answers")

    def of(backend):
        run(backend, "-c", ANSWER, folder / f"{backend}.npz")
        with np.load(folder / f"{backend}.npz") as found:
            return dict(found)

    return of


@pytest.fixture(scope="module")
def on_tensorflow(answers):
    return answers("tensorflow")


@pytest.mark.parametrize("backend", OTHERS)
def test_every_backend_gives_the_answers_of_tensorflow(answers, on_tensorflow, backend):
    found = answers(backend)
    assert on_tensorflow["scores"].std() > 0.1
    assert found.keys() == on_tensorflow.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, on_tensorflow[name], atol=1e-4 if name == "scores" else 1e-3, err_msg=name)


def test_the_site_with_a_model_of_its_own_works_on_jax(run):
    """Pages and JSON, evaluation, heat maps, reduced precision, imported models: all tests marked `every_backend`."""
    marked = [path for path in (ROOT / "tests").rglob("test_*.py") if names(str(path), "every_backend")]
    printed = run("jax", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "every_backend", *marked)
    assert " passed" in printed.splitlines()[-1]


def test_a_card_that_jax_does_not_find_leaves_the_cpu(monkeypatch, tmp_path):
    cards.pretend(monkeypatch, tmp_path, cards.RTX_5090, backend="jax")
    reason = device.settle("auto", "float32", lambda precision: trial.run(precision))
    assert reason.startswith("NVIDIA GeForce RTX 5090 is not used: jax ")
    assert reason.endswith(" does not find it; `.venv/bin/python -m classifier doctor` shows what to mend.")


def test_jax_computes_what_numpy_computes(run):
    proof = trial.Proof.model_validate_json(run("jax", "-m", "classifier.models.proof").splitlines()[-1])
    assert proof.proven
    assert (proof.backend.partition(" ")[0], proof.device) == ("jax", "CPU")
