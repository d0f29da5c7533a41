"""Keras gives the same answers on every backend. Needs at least two of them in this environment:
`pip install jax jaxlib`, `torch`, `openvino`."""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from web.settings import ROOT

BACKENDS = [name for name in ("tensorflow", "jax", "torch", "openvino") if find_spec(name)]
ANSWER = """
import sys
import numpy as np
from classifier.models import loading, model
pixels = np.random.default_rng(0).integers(0, 256, (5, 224, 224, 3), dtype=np.uint8)
for name in ("mobilenet_v2", "vgg16"):
    loaded = model.Model(name, loading.build(name, "random", 12), [], resize="crop", is_random=True)
    loaded.warm_up()
    np.save(f"{sys.argv[1]}/{name}.npy", loaded(pixels))
"""


@pytest.mark.tensorflow
@pytest.mark.skipif(len(BACKENDS) < 2, reason=f"only {' and '.join(BACKENDS)} installed here: nothing to compare")
def test_every_backend_gives_the_same_answers(tmp_path):
    answers = {}
    for backend in BACKENDS:
        folder = tmp_path / backend
        folder.mkdir()
        environ = {**os.environ, "KERAS_BACKEND": backend}
        subprocess.run([sys.executable, "-c", ANSWER, folder], cwd=ROOT, env=environ, check=True, timeout=300)
        answers[backend] = [np.load(path) for path in sorted(folder.iterdir())]
    first = answers[BACKENDS[0]]
    assert max(scores.max() for scores in first) > 0.1
    for backend in BACKENDS[1:]:
        for ours, theirs in zip(answers[backend], first, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=backend)
