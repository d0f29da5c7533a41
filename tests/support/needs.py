"""Requirements of some tests that not every machine meets."""

import shutil
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
# The same browser without its windows, where there is one: a test of a page costs half the processor time.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no chromium here (apt-get install chromium-headless-shell)")
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data (real weights and photos) here")
