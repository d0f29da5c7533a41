"""Keras is imported without what nobody here calls, and everything is as usual afterwards."""

import os
import subprocess
import sys

import pytest

from web.settings import ROOT

REPORT = """
import gc, sys
from classifier.models.quick_start import UNUSED, import_keras
import_keras()
print("keras" in sys.modules, [name for name in UNUSED if name in sys.modules], gc.isenabled())
import jax, matplotlib
"""


@pytest.mark.tensorflow
def test_keras_is_imported_without_what_is_not_used_and_that_can_be_imported_later():
    environ = os.environ | {"KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        [sys.executable, "-c", REPORT], cwd=ROOT, env=environ, check=True, capture_output=True, text=True
    )
    assert done.stdout == "True [] True\n"
