"""On a GPU, the answers and the heat maps are the CPU's. Each device gets a process of its own."""

import json
import os
import subprocess
import sys
from shutil import which

import numpy as np
import pytest

from web.settings import ROOT

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not which("nvidia-smi"), reason="no NVIDIA GPU here")]

PHOTOS = ("chelsea.png", "coffee.png", "rocket.jpg")
ANSWER = f"""
import json, sys
import numpy as np
from pathlib import Path
import skimage
from classifier.models import load, model
from classifier.options import ModelOptions
from classifier.photos import decode, fit
model.LARGEST_RUN = {{"CPU": 4, "GPU": 4}}  # fewer sizes to compile
loaded = load(ModelOptions(model="efficientnet_lite2", precision=sys.argv[1]))
size = loaded.info.size
photos = [(Path(skimage.__file__).with_name("data") / name).read_bytes() for name in {PHOTOS}]
pixels = np.stack([fit.to_pixels(decode.read(photo, size), size) for photo in photos])
scores = loaded(pixels)
heat = [loaded.explain(image, int(row.argmax())).tolist() for image, row in zip(pixels, scores)]
print(json.dumps({{"device": loaded.info.device, "scores": scores.tolist(), "heat": heat}}))
"""


def answers(precision, environ=()):
    """Return the device, the probabilities (n, 1000) and the heat maps (n, rows, columns) of some photos."""
    command = [sys.executable, "-c", ANSWER, precision]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **dict(environ)}, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["device"], np.array(found["scores"]), np.array(found["heat"])


@pytest.fixture(scope="module")
def on_cpu():
    device, *found = answers(
        "float32", {"CLASSIFIER_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    )
    assert device == "CPU"
    return found


def test_float32_is_the_cpus(on_cpu):
    device, scores, heat = answers("float32")
    assert device.startswith("GPU")
    np.testing.assert_allclose(scores, on_cpu[0], atol=1e-3)
    np.testing.assert_allclose(heat, on_cpu[1], atol=0.02)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_16_bits_give_the_same_names(on_cpu, precision):
    device, scores, _ = answers(precision)
    assert device.startswith("GPU")
    np.testing.assert_array_equal(scores.argmax(axis=1), on_cpu[0].argmax(axis=1))
    np.testing.assert_allclose(scores, on_cpu[0], atol=0.1)
