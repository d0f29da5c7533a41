"""gunicorn's configuration follows the settings."""

import os
import subprocess
import sys

import pytest

from classifier import memory
from classifier.errors import StartupError
from web.ops import worker
from web.settings import ROOT


@pytest.fixture
def configured(monkeypatch):
    """gunicorn's own view of gunicorn.conf.py under some settings."""
    from gunicorn.app.wsgiapp import WSGIApplication

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"])

    def configured(**settings):
        for name, value in settings.items():
            monkeypatch.setenv(f"CLASSIFIER_{name}", value)
        return WSGIApplication().cfg

    return configured


def test_the_defaults(configured):
    config = configured()
    assert (config.threads, config.graceful_timeout) == (320, 35)
    assert config.worker_connections == min(1000, worker.max_connections())


def test_as_many_photos_can_wait_as_are_allowed(configured):
    """Each holds a thread and a connection, if it comes alone; so do those of the running batch and the refused one."""
    config = configured(MAX_WAITING="1000", MAX_BATCH="64")
    assert config.threads > 1000 + 64
    assert config.worker_connections >= min(config.threads, worker.max_connections())


@pytest.mark.parametrize(("timeout_s", "expected"), [("120", 125), ("0.5", 6)])
def test_what_was_accepted_is_answered_before_a_worker_ends(configured, timeout_s, expected):
    assert configured(TIMEOUT_S=timeout_s).graceful_timeout == expected


def test_a_wrong_setting_ends_gunicorn_with_one_sentence():
    environ = {**os.environ, "CLASSIFIER_MAX_BATCH": "many", "CLASSIFIER_MODLE": "x"}
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == worker.CANNOT_START
    assert done.stderr == "Cannot start: CLASSIFIER_MAX_BATCH must be a whole number from 1 to 1024, not 'many'.\n"


def test_of_several_web_processes_that_cannot_start_one_says_so_and_stops_the_site(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(worker.MODEL_SERVERS, str(tmp_path))
    codes = []
    for _ in range(3):
        with pytest.raises(SystemExit) as ended, worker.exits_if_it_cannot_start():
            raise StartupError("There is no such model.")
        codes.append(ended.value.code or 0)
    assert codes == [worker.CANNOT_START, 0, 0]
    assert capsys.readouterr().err == "Cannot start: There is no such model.\n"


MEMORY = """
from pathlib import Path
from classifier import memory

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

memory.keep_in_one_pool()
idle = resident_mb()
blocks = [b"x" * size for size in [100_000] * 1000 + [50_000_000] * 4]
last = b"x" * 100_000  # keeps the heap from shrinking
del blocks
kept = resident_mb() - idle
memory.give_back()
print(kept, resident_mb() - idle)
"""


@pytest.mark.skipif(memory.glibc() is None, reason="only glibc keeps freed memory in this way")
def test_freed_memory_stays_for_the_next_photo_until_it_is_given_back():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, cwd=ROOT)
    kept_mb, left_mb = done.stdout.split()
    assert float(kept_mb) > 250
    assert float(left_mb) < 20
