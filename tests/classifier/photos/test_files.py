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
    assert files.below(folder).paths == [folder / name for name in ("6.gif", "a/x/3.png", "b/1.jpg", "b/2.jpg")]
    assert files.below(folder / "nothing").paths == []


def test_files_and_folders_are_listed_in_the_order_given(folder):
    paths = [folder / "b" / "2.jpg", folder / "a", folder / ".DS_Store", folder / "b"]
    expected = ["b/2.jpg", "a/x/3.png", ".DS_Store", "b/1.jpg", "b/2.jpg"]
    assert files.find(paths) == [folder / name for name in expected]


def test_a_path_that_does_not_exist(folder):
    with pytest.raises(DataError, match=r"nothing\.jpg does not exist; expected a photo or a folder of photos\.$"):
        files.find([folder / "nothing.jpg"])


def test_subfolders_are_those_that_can_be_classes(folder):
    (folder / ".git").mkdir()
    assert [path.name for path in files.entries_of(folder).folders] == ["a", "b"]


def test_a_file_is_read_unless_it_is_too_large_or_not_a_file(folder, monkeypatch):
    assert files.read(folder / "6.gif") == b"photo"
    monkeypatch.setattr(files, "MAX_BYTES", 4)
    with pytest.raises(TooLarge, match=r"This file has 5e-06 MB; a photo may have at most 4e-06 MB\."):
        files.read(folder / "6.gif")
    (folder / "dead").symlink_to("gone")
    (folder / "itself").symlink_to("itself")
    for name, reason in {"a": "a folder", "nothing": "No such file", "dead": "nowhere", "itself": "nowhere"}.items():
        with pytest.raises(BrokenImage, match=reason):
            files.read(folder / name)


def test_a_linked_folder_is_followed_once_and_one_that_leads_up_is_named(folder, tmp_path_factory, caplog):
    disk = tmp_path_factory.mktemp("disk")
    (disk / "7.jpg").write_bytes(b"photo")
    for name, target in {"a/more": disk, "b/again": disk, "a/loop": folder / "a", "b/up": folder.parent}.items():
        (folder / name).symlink_to(target)
    names = [path.relative_to(folder).as_posix() for path in files.find([folder])]
    assert names == ["6.gif", "a/more/7.jpg", "a/x/3.png", "b/1.jpg", "b/2.jpg"]
    assert "b/up: a link to a folder that contains this one" in caplog.text


@pytest.mark.parametrize("name", ["@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", ".thumbnails", "__MACOSX"])
def test_folders_of_the_system_are_passed_over_and_named(folder, name, caplog):
    (folder / "b" / name / "1.jpg").mkdir(parents=True)
    (folder / "b" / name / "1.jpg" / "small.jpg").write_bytes(b"photo")
    assert not [path for path in files.find([folder]) if name in path.parts]
    assert f"b/{name}: made by the system" in caplog.text


def test_a_dead_link_is_called_one(folder):
    (folder / "dead").symlink_to("gone")
    with pytest.raises(DataError, match="dead is a link that leads nowhere"):
        files.find([folder / "dead"])


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(folder, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(BrokenImage, match="cannot be read: Permission denied"):
        files.read(folder / "6.gif")


def test_many_items_keep_their_order():
    assert files.in_threads(str, range(100), "Counting") == [str(i) for i in range(100)]
