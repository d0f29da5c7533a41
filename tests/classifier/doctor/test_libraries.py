"""Which of CUDA's libraries does not load, and from where a wrong one came."""

import shutil

import pytest

from classifier.doctor import libraries


@pytest.fixture
def loaded():
    """Some shared library that this process has loaded."""
    return next(path for path in libraries.loaded() if path.name.startswith("libm.so"))


def test_the_installed_library_is_right_when_it_is_loaded(loaded):
    assert libraries.problems([loaded], libraries.loaded()) == []


def test_a_library_from_elsewhere_is_named_with_its_place(loaded, tmp_path):
    expected = tmp_path / loaded.name
    shutil.copy(loaded, expected)
    (problem,) = libraries.problems([expected], libraries.loaded())
    assert problem == f"{loaded.name} was loaded from {loaded} instead of {expected}; check LD_LIBRARY_PATH."


def test_a_library_that_is_not_loaded_yet_must_load(loaded, tmp_path):
    broken, whole = tmp_path / "libcudnn.so.9", tmp_path / "libwhole.so.1"
    broken.write_bytes(b"no library")
    shutil.copy(loaded, whole)
    (problem,) = libraries.problems([broken, whole], [])
    assert problem.startswith(f"libcudnn.so.9 does not load: {broken}: ")


def test_the_libraries_of_the_nvidia_packages_are_found(monkeypatch, tmp_path):
    before = set(libraries.installed())
    files = ["nvidia/cudnn/lib/libcudnn.so.9", "nvidia/cudnn/__init__.py", "nvidia/cublas/lib/libnvblas.so.12"]
    info = tmp_path / "nvidia_cudnn_cu12-9.10.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-cudnn-cu12\nVersion: 9.10\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    monkeypatch.syspath_prepend(tmp_path)
    assert set(libraries.installed()) - before == {tmp_path / files[0]}
