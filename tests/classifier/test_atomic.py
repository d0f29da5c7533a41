"""A file appears whole or not at all; `test_folder.py` holds the same for folders."""

import os
import signal
import subprocess
import sys

import pytest

from classifier import atomic


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_appears_when_it_is_complete(tmp_path, durable):
    path = tmp_path / "a.csv"
    with atomic.writing(path, durable=durable) as part:
        part.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.csv"
    path.write_text("old")

    def interrupted():
        with atomic.writing(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]


def test_a_part_can_have_another_name(tmp_path):
    with atomic.writing(tmp_path / "a", part=tmp_path / "a.part") as part:
        assert part == tmp_path / "a.part"
        part.touch()
    assert os.listdir(tmp_path) == ["a"]


def test_a_killed_process_leaves_the_old_file_and_a_hidden_part(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    writing = (
        "import os, sys; from pathlib import Path; from classifier import atomic\n"
        "with atomic.writing(Path(sys.argv[1])) as part:\n"
        "    part.write_text('half'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", writing, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == [".a.csv.part", "a.csv"]
