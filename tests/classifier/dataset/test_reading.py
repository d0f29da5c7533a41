"""Which folders are classes and which files are photos; training sees the pixels of serving, with the right labels."""

import hashlib
import os

import numpy as np
import pytest
from PIL import Image
from support.pictures import encoded, picture, textured

from classifier.dataset.duplicates import without_duplicates
from classifier.dataset.layout import find
from classifier.dataset.options import DataOptions
from classifier.dataset.reading import read
from classifier.errors import DataError
from classifier.photos import decode, fit

SIZE = (24, 32)


def put(folder, **contents):
    """Create files by their paths below the folder; `__` stands for a slash."""
    for name, content in contents.items():
        place(folder, name.replace("__", "/"), content)


def place(folder, name, content=b""):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(folder):
    """Return Return (path below the folder, class name, part) of every photo that is found."""
    layout = find(folder)
    classes, photos = layout.classes, layout.photos
    return [(photo.path.relative_to(folder).as_posix(), classes[photo.label], photo.part) for photo in photos]


def test_a_folder_is_a_class(tmp_path):
    for name in ("rose/b.jpg", "rose/a.png", "daisy/1.webp", "loose.jpg"):
        place(tmp_path, name)
    assert names(tmp_path) == [
        ("daisy/1.webp", "daisy", None),
        ("rose/a.png", "rose", None),
        ("rose/b.jpg", "rose", None),
    ]


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (["train", "val", "test"], ["train", "validation", "test"]),
        (["Training", "VALID", "Testing"], ["train", "validation", "test"]),
        (["train", "validation"], ["train", "validation"]),
        (["train", "test"], ["train", "test"]),
        (["train"], ["train"]),
        (["test"], ["test"]),
    ],
)
def test_divided_folders_say_the_part(tmp_path, folders, parts):
    for folder in folders:
        place(tmp_path, f"{folder}/a/1.jpg")
        place(tmp_path, f"{folder}/b/2.jpg")
    assert sorted({photo.part for photo in find(tmp_path).photos}) == sorted(parts)
    assert find(tmp_path).classes == ["a", "b"]
    found = {(path.split("/")[0], part) for path, _, part in names(tmp_path)}
    assert found == set(zip(folders, parts, strict=True))


def test_the_classes_of_all_parts_count(tmp_path):
    for name in ("train/a/1.jpg", "train/c/1.jpg", "test/a/2.jpg", "test/b/2.jpg"):
        place(tmp_path, name)
    assert find(tmp_path).classes == ["a", "b", "c"]
    assert [(label, part) for _, label, part in names(tmp_path)].count(("b", "test")) == 1


@pytest.mark.parametrize("others", [["rose"], ["rose", "train"]])
def test_a_class_named_like_a_part_is_a_question_until_parts_decides(tmp_path, others):
    for name in ("test", *others):
        place(tmp_path, f"{name}/1.jpg")
    with pytest.raises(DataError, match=r"named like .* add --parts none"):
        find(tmp_path)
    found = find(tmp_path, DataOptions(parts="none"))
    assert found.classes == sorted(["test", *others])
    assert {photo.part for photo in found.photos} == {None}


def test_what_lies_beside_train_and_test_is_no_class(tmp_path):
    """As in well-known archives, which contain the same photos again in a folder of their own name."""
    for name in ("train/a/1.jpg", "train/b/1.jpg", "test/a/2.jpg", "test/b/2.jpg", "chest_xray/train/a/1.jpg"):
        place(tmp_path, name)
    assert find(tmp_path).classes == ["a", "b"]
    assert len(find(tmp_path).photos) == 4


def test_two_folders_of_the_same_part_are_refused(tmp_path):
    for part in ("train", "val", "validation"):
        place(tmp_path, f"{part}/a/1.jpg")
    with pytest.raises(DataError, match="two folders for the same part"):
        find(tmp_path)


def test_hidden_files_and_those_of_file_managers_are_no_photos(tmp_path):
    put(tmp_path, a__1=b"", b__1=b"")
    for name in ("a/.DS_Store", "a/Thumbs.db", "b/desktop.ini", ".git/x", "__MACOSX/x", "a/.cache/x", "a/__MACOSX/x"):
        place(tmp_path, name)
    assert [path for path, _, _ in names(tmp_path)] == ["a/1", "b/1"]


def test_photos_in_nested_folders_belong_to_the_outermost(tmp_path):
    for name in ("a/x/y/1.jpg", "a/b/2.jpg", "b/3.jpg"):
        place(tmp_path, name)
    assert [(path, label) for path, label, _ in names(tmp_path)] == [
        ("a/b/2.jpg", "a"), ("a/x/y/1.jpg", "a"), ("b/3.jpg", "b"),
    ]  # fmt: skip


def test_an_empty_folder_is_a_class_without_photos(tmp_path):
    (tmp_path / "empty").mkdir()
    place(tmp_path, "rose/1.jpg")
    assert find(tmp_path).classes == ["empty", "rose"]
    assert len(find(tmp_path).photos) == 1


@pytest.mark.parametrize("kind", ["missing", "file", "nothing", "one class", "loose photos", "one class, divided"])
def test_a_folder_without_two_classes_is_one_sentence(tmp_path, kind):
    folder = tmp_path / "data"
    if kind == "file":
        folder.touch()
    elif kind != "missing":
        folder.mkdir()
    if kind == "one class":
        place(folder, "a/1.jpg")
    elif kind == "loose photos":
        place(folder, "1.jpg")
    elif kind == "one class, divided":
        place(folder, "train/a/1.jpg")
        place(folder, "test/a/2.jpg")
    with pytest.raises(DataError, match=r"^[^\n]* expected [^\n]*\.$") as raised:
        find(folder)
    said = {"missing": "is not a folder", "file": "is not a folder"}
    said |= {"one class": "contains 1 class folder;", "one class, divided": "contains 1 class folder;"}
    assert said.get(kind, "contains 0 class folders;") in str(raised.value)


@pytest.mark.parametrize("name", ["a\nb", " ", "a\u200bb", b"caf\xe9".decode(errors="surrogateescape")])
def test_a_class_whose_name_cannot_be_shown_is_refused_before_training(tmp_path, name):
    """Otherwise model.json would be refused, or could not be written, after the training."""
    (tmp_path / name).mkdir()
    (tmp_path / "rose").mkdir()
    with pytest.raises(DataError, match="please rename it") as raised:
        read(tmp_path, SIZE)
    assert str(raised.value).isprintable()


@pytest.fixture
def mixed(tmp_path):
    """Readable and unreadable files alternate, so that a shift by one is detected."""
    contents = {
        "a/0-not.jpg": b"no image",
        "a/1.png": encoded(textured((90, 70))),
        "a/2-empty.jpg": b"",
        "a/3.webp": encoded(textured((200, 100)), "WEBP", lossless=True),
        "b/0.jpg": encoded(textured((640, 480)), "JPEG", quality=95),
        "b/1-cut.jpg": encoded(textured((640, 480)), "JPEG")[:2000],
        "b/2-png-inside.jpg": encoded(textured((50, 80)).convert("L")),
        "c/0-text.txt": b"notes",
        "c/1.gif": picture("lime", format="GIF"),
        "c/2-turned.jpg": encoded(textured((300, 200)), "JPEG", exif=turned()),
    }
    for name, content in contents.items():
        place(tmp_path, name, content)
    return tmp_path


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("resize", ["crop", "stretch"])
def test_pixels_are_those_of_serving_and_stay_beside_their_labels(mixed, resize):
    found = read(mixed, SIZE, resize)
    assert [photo.path.name for photo in found.photos] == [
        "1.png", "3.webp", "0.jpg", "2-png-inside.jpg", "1.gif", "2-turned.jpg",
    ]  # fmt: skip
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.take(np.arange(6)).dtype == np.uint8
    assert found.take(np.arange(6)).shape == (6, *SIZE, 3)
    for i, photo in enumerate(found.photos):
        data = photo.path.read_bytes()
        expected = fit.to_pixels(decode.read(data, SIZE, resize), SIZE, resize)
        np.testing.assert_array_equal(found.take(np.array([i]))[0], expected, photo.path.name)
        assert found.digests[i] == hashlib.sha256(data).hexdigest()


def test_what_cannot_be_read_is_rejected_with_a_reason(mixed):
    rejected = dict(read(mixed, SIZE).rejected)
    reasons = {path.name: reason for path, reason in rejected.items()}
    assert reasons.keys() == {"0-not.jpg", "2-empty.jpg", "1-cut.jpg", "0-text.txt"}
    assert "empty" in reasons["2-empty.jpg"]
    assert "not an image" in reasons["0-text.txt"]
    assert "damaged" in reasons["1-cut.jpg"]


def test_too_large_a_file_a_pipe_and_a_dead_link_are_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr("classifier.photos.files.MAX_BYTES", 1000)
    put(tmp_path, a__large=picture() + bytes(2000), b__good=picture(size=(8, 8)))
    (tmp_path / "a" / "link.jpg").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "b" / "pipe.jpg")
    found = read(tmp_path, SIZE)
    assert [photo.path.name for photo in found.photos] == ["good"]
    assert sorted(path.name for path, _ in found.rejected) == ["large", "link.jpg", "pipe.jpg"]


def test_a_folder_of_nothing_readable_is_an_empty_dataset(tmp_path):
    put(tmp_path, a__1=b"x", b__2=b"y")
    found = without_duplicates(read(tmp_path, SIZE))
    assert (found.photos, found.labels.tolist(), len(found.rejected)) == ([], [], 2)


def test_a_subset_keeps_pixels_labels_and_digests_together(mixed):
    whole = read(mixed, SIZE)
    some = whole.subset([5, 2, 0])
    np.testing.assert_array_equal(some.take(np.arange(3)), whole.take(np.array([5, 2, 0])))
    assert some.labels.tolist() == whole.labels[[5, 2, 0]].tolist()
    assert some.digests == [whole.digests[i] for i in (5, 2, 0)]
    np.testing.assert_array_equal(some.subset([1]).take(np.array([0])), whole.take(np.array([2])))


def kept(folder):
    found = without_duplicates(read(folder, SIZE))
    for i, photo in enumerate(found.photos):
        expected = fit.to_pixels(decode.read(photo.path.read_bytes(), SIZE), SIZE)
        np.testing.assert_array_equal(found.take(np.array([i]))[0], expected)
    names = [photo.path.relative_to(folder).as_posix() for photo in found.photos]
    return names, {path.relative_to(folder).as_posix(): reason for path, reason in found.rejected}


def test_of_copies_within_a_class_one_stays(tmp_path):
    put(tmp_path, a__1=picture("red"), a__2=picture("red"), a__3=picture("blue"), a__x__4=picture("red"))
    put(tmp_path, b__1=picture("lime"))
    names, rejected = kept(tmp_path)
    assert names == ["a/1", "a/3", "b/1"]
    assert rejected == {"a/2": "a copy of another photo", "a/x/4": "a copy of another photo"}


def test_of_a_photo_in_two_classes_nothing_stays(tmp_path):
    put(tmp_path, a__1=picture("red"), a__2=picture("red"), a__3=picture("blue"))
    put(tmp_path, b__1=picture("lime"), b__2=picture("red"))
    names, rejected = kept(tmp_path)
    assert names == ["a/3", "b/1"]
    assert rejected == dict.fromkeys(["a/1", "a/2", "b/2"], "the same photo is in two classes")


def test_of_copies_in_several_parts_the_test_photo_stays_then_the_validation_photo(tmp_path):
    put(tmp_path, train__a__1=picture("red"), val__a__1=picture("red"), test__a__1=picture("red"))
    put(tmp_path, train__a__2=picture("blue"), val__a__2=picture("blue"))
    put(tmp_path, train__b__3=picture("lime"), test__b__4=picture("black"))
    names, rejected = kept(tmp_path)
    assert sorted(names) == ["test/a/1", "test/b/4", "train/b/3", "val/a/2"]
    assert set(rejected) == {"train/a/1", "val/a/1", "train/a/2"}


def test_a_photo_in_two_classes_of_two_parts_is_out_of_both(tmp_path):
    put(tmp_path, train__a__1=picture("red"), train__a__2=picture("blue"), train__b__1=picture("lime"))
    put(tmp_path, test__a__1=picture("white"), test__b__1=picture("red"))
    assert set(kept(tmp_path)[1]) == {"train/a/1", "test/b/1"}


def test_a_photo_without_its_last_bytes_is_used_if_nearly_all_of_it_is_there(tmp_path):
    whole = encoded(textured((320, 320)), "JPEG", quality=95)
    put(tmp_path, a__nearly=whole[:-20], a__half=whole[: len(whole) // 2], b__whole=whole)
    photos = read(tmp_path, SIZE)
    assert [photo.path.name for photo in photos.photos] == ["nearly", "whole"]
    assert [path.name for path, _ in photos.rejected] == ["half"]
