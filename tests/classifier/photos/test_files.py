"""One listing of photos for the command line and for datasets."""

from pathlib import Path

import pytest

from classifier.errors import BrokenImage, DataError, TooLarge
from classifier.photos import files


@pytest.fixture
def folder(tmp_path):
    for name in (
        "b/2.jpg",
        "b/1.jpg",
        "a/x/3.png",
        "a/.hidden/4.jpg",
        "__MACOSX/5.jpg",
        "Thumbs.db",
        ".DS_Store",
        "6.gif",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"photo")
    return tmp_path


def test_all_files_below_a_folder_are_listed_in_order_except_hidden_ones(folder):
    assert files.below(folder) == [folder / name for name in ("6.gif", "a/x/3.png", "b/1.jpg", "b/2.jpg")]
    assert files.below(folder / "nothing") == []


def test_files_and_folders_are_listed_in_the_order_given(folder):
    paths = [folder / "b" / "2.jpg", folder / "a", folder / ".DS_Store", folder / "b"]
    expected = ["b/2.jpg", "a/x/3.png", ".DS_Store", "b/1.jpg", "b/2.jpg"]
    assert files.find(paths) == [folder / name for name in expected]


def test_a_path_that_does_not_exist(folder):
    with pytest.raises(DataError, match=r"nothing\.jpg does not exist; expected a photo or a folder of photos\.$"):
        files.find([folder / "nothing.jpg"])


def test_subfolders_are_those_that_can_be_classes(folder):
    (folder / ".git").mkdir()
    assert sorted(files.subfolders(folder)) == ["a", "b"]


def test_a_file_is_read_unless_it_is_too_large_or_not_a_file(folder, monkeypatch):
    assert files.read(folder / "6.gif") == b"photo"
    monkeypatch.setattr(files, "MAX_BYTES", 4)
    for path in (folder / "6.gif", folder / "a", folder / "nothing"):
        with pytest.raises(TooLarge, match="not a file of at most"):
            files.read(path)


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(folder, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(BrokenImage, match="cannot be read: Permission denied"):
        files.read(folder / "6.gif")


def test_many_items_keep_their_order():
    assert files.in_threads(str, range(100), "Counting") == [str(i) for i in range(100)]
