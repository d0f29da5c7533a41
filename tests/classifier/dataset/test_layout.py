"""Sets as people download them: their parts and classes are recognised, or a question names the option that decides."""

import re
import unicodedata

import pytest

from classifier.dataset.layout import case_variants, find
from classifier.dataset.options import DataOptions
from classifier.errors import DataError


def place(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"photo")


def found(folder, options="auto", **others):
    layout = find(folder, DataOptions(parts=options, **others))
    parts = {photo.part: layout.photos for photo in layout.photos}
    return layout.classes, sorted(parts, key=str)


def passed_over(folder):
    return {path.relative_to(folder).as_posix(): reason for path, reason in find(folder).passed_over}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set/training_set", "test_set/test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train_images", "test_images"),
        ("flowers_train", "flowers_test"),
        ("TrainData", "TestData"),
        ("trainset", "testset"),
        ("train/images", "holdout/images"),
        ("train", "hold-out"),
        ("archive/dataset/train", "archive/dataset/test"),
        ("train2017", "evaluation"),
    ],
)
def test_the_usual_names_of_parts_are_recognised(tmp_path, train, test):
    place(tmp_path, *(f"{part}/{name}/1.jpg" for part in (train, test) for name in ("cat", "dog")))
    assert found(tmp_path) == (["cat", "dog"], ["test", "train"])


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "dev", "val_set"])
def test_the_usual_names_of_the_validation_part(tmp_path, name):
    place(tmp_path, *(f"{part}/{label}/1.jpg" for part in ("Training", name) for label in ("cat", "dog")))
    assert found(tmp_path) == (["cat", "dog"], ["train", "validation"])


@pytest.mark.parametrize("path", ["test/1.jpg", "test/test/1.jpg", "seg_pred/seg_pred/1.jpg", "test/unknown/1.jpg"])
def test_an_unlabelled_part_is_left_out_and_said(tmp_path, path):
    train = "seg_train/seg_train" if "seg" in path else "train"
    place(tmp_path, f"{train}/cat/1.jpg", f"{train}/dog/1.jpg", path)
    assert found(tmp_path) == (["cat", "dog"], ["train"])
    (reason,) = passed_over(tmp_path).values()
    assert "no label" in reason


@pytest.mark.parametrize(
    "names",
    [
        ["fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog", "fold3/cat", "fold3/dog"],
        ["2021/cat", "2021/dog", "2022/cat"],
        ["images/train/cat", "images/val/cat", "annotations"],
        ["Data/set/train/cat", "Data/set/test/cat", "Annotations/cat"],
        ["cat/train", "cat/test", "dog/train", "dog/test", "extra/train", "extra/other"],
        ["trainval/cat", "trainval/dog", "test/cat", "test/dog"],
        ["train/cat", "train/dog", "extra/cat", "extra/dog", "test/cat", "test/dog"],
        ["train/images/cat", "train/images/dog", "train/masks/cat", "train/masks/dog", "test/x"],
        ["train", "test"],
        ["train/cat", "train/dog", "rose"],
        ["train_1/cat", "train_1/dog", "train_2/cat", "train_2/dog"],
        ["val/cat", "val/dog"],
    ],
)
def test_what_can_be_read_in_two_ways_is_a_question_that_names_the_option(tmp_path, names):
    place(tmp_path, *(f"{name}/1.jpg" for name in names))
    with pytest.raises(DataError, match=r"^It is not certain [^\n]* --parts none[^\n]* --parts \w+=[^\n]*\.$"):
        find(tmp_path)
    assert find(tmp_path, DataOptions(parts="none"), least=1).classes


def test_the_example_in_the_question_is_an_answer(tmp_path):
    place(tmp_path, *(f"fold{i}/{name}/1.jpg" for i in range(3) for name in ("cat", "dog")))
    with pytest.raises(DataError, match="--parts train=fold0,train=fold1,test=fold2;"):
        find(tmp_path)
    assert found(tmp_path, "train=fold0,train=fold1,test=fold2") == (["cat", "dog"], ["test", "train"])
    assert len(find(tmp_path, DataOptions(parts="train=fold0,train=fold1,test=fold2")).photos) == 6


@pytest.mark.parametrize(
    ("names", "example"),
    [
        (["images/train/a", "images/val/a", "annotations"], "train=images/train,validation=images/val"),
        (["trainval/cat", "trainval/dog", "test/cat", "test/dog"], "train=trainval,test=test"),
        (["fold, 1/cat", "fold, 1/dog", "fold, 2/cat", "fold, 2/dog"], "'train=fold, 1,test=fold, 2'"),
        (["pred/a", "rose"], "train=rose"),
    ],
)
def test_the_example_follows_the_folders(tmp_path, names, example):
    place(tmp_path, *(f"{name}/1.jpg" for name in names))
    with pytest.raises(DataError, match=f"for example --parts {re.escape(example)};"):
        find(tmp_path)


def test_the_name_of_a_part_may_contain_commas(tmp_path):
    place(tmp_path, *(f"{part}/{name}/1.jpg" for part in ("a, b", "c,d") for name in ("cat", "dog")))
    assert found(tmp_path, "train=a, b,test=c,d") == (["cat", "dog"], ["test", "train"])


@pytest.mark.parametrize("around", ["", "data/"])
def test_every_class_may_be_divided_itself(tmp_path, around):
    names = ("cat/train/1.jpg", "cat/val/2.jpg", "cat/test/3.jpg", "dog/Training/4.jpg", "dog/Testing/5.jpg")
    place(tmp_path, *(around + name for name in names))
    layout = find(tmp_path)
    assert layout.classes == ["cat", "dog"]
    photos = {photo.path.stem: (layout.classes[photo.label], photo.part) for photo in layout.photos}
    assert photos == {
        "1": ("cat", "train"), "2": ("cat", "validation"), "3": ("cat", "test"), "4": ("dog", "train"),
        "5": ("dog", "test"),
    }  # fmt: skip


def test_one_folder_in_every_class_is_no_class(tmp_path):
    place(tmp_path, "train/cat/images/1.jpg", "train/dog/images/2.jpg", "val/images/3.jpg")
    assert found(tmp_path) == (["cat", "dog"], ["train"])
    assert passed_over(tmp_path) == {"val/images": "not a class of the training part, so no label"}


def test_of_two_folders_for_a_part_the_one_without_classes_is_named(tmp_path):
    place(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.jpg", "test/dog/1.jpg", "test1/1.jpg")
    assert found(tmp_path) == (["cat", "dog"], ["test", "train"])
    assert passed_over(tmp_path) == {"test1": "no class folders, so no labels"}


def test_photos_beside_a_wrapping_folder_are_told(tmp_path):
    place(tmp_path, "a/train/cat/1.jpg", "a/train/dog/1.jpg", "a/test/cat/1.jpg", "1.jpg", "a/2.jpg", "a/3.jpg")
    beside = "beside the class folders, in none of them"
    assert passed_over(tmp_path) == {".": f"1 photo {beside}", "a": f"2 photos {beside}"}


def test_a_part_that_is_not_there_is_named(tmp_path):
    place(tmp_path, "a/cat/1.jpg", "a/dog/1.jpg")
    with pytest.raises(DataError, match="b contains no class folders; expected"):
        find(tmp_path, DataOptions(parts="train=a,test=b"))


def test_classes_with_words_like_parts_are_classes(tmp_path):
    place(tmp_path, "bullet_train/1.jpg", "test_tube/1.jpg", "crash test/1.jpg")
    assert found(tmp_path) == (["bullet_train", "crash test", "test_tube"], [None])


def test_a_folder_that_repeats_the_classes_beside_it_is_left_out(tmp_path):
    place(tmp_path, "yes/1.jpg", "no/1.jpg", "brain/yes/1.jpg", "brain/no/1.jpg")
    assert found(tmp_path) == (["no", "yes"], [None])
    assert list(passed_over(tmp_path)) == ["brain"]


def test_one_name_in_two_forms_of_unicode_is_one_class(tmp_path):
    for form in ("NFC", "NFD"):
        place(tmp_path, f"{unicodedata.normalize(form, 'Käse')}/{form}.jpg", "Brot/1.jpg")
    layout = find(tmp_path)
    assert layout.classes == ["Brot", "Käse"]
    assert [photo.label for photo in layout.photos] == [0, 1, 1]


def test_names_that_differ_in_case_only_are_told():
    assert case_variants(["Rose", "rose", "tulip"]) == ["Rose = rose"]


def test_a_class_that_is_a_dead_link_and_loose_photos_are_told(tmp_path):
    place(tmp_path, "cat/1.jpg", "dog/1.jpg", "loose.jpg", "labels.csv")
    (tmp_path / "cow").symlink_to("gone")
    assert passed_over(tmp_path) == {
        "cow": "a link that leads nowhere",
        ".": "1 photo beside the class folders, in none of them",
    }


def test_photos_are_labelled_by_a_csv_file(tmp_path):
    place(tmp_path, "photos/1.jpg", "photos/2.jpg", "photos/sub/3.jpg", "photos/4.jpg")
    table = tmp_path / "labels.csv"
    table.write_bytes("Id;Breed\r\n1;dog\r\n2.jpg;cat\r\nsub/3.jpg;Käse\r\n".encode("utf-16"))
    layout = find(tmp_path / "photos", DataOptions(labels=table))
    labels = {photo.path.name: layout.classes[photo.label] for photo in layout.photos}
    assert labels == {"1.jpg": "dog", "2.jpg": "cat", "3.jpg": "Käse"}
    assert [path.name for path, _ in layout.passed_over] == ["4.jpg"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected the columns filename,label"),
        ("a,b\n1.jpg,cat\n", "expected the columns filename,label"),
        ("filename,label\n1.jpg\n", "expected a filename and a label"),
        ("filename,label\n1.jpg,cat\n1.jpg,dog\n", "two labels, cat and dog"),
        ("filename,label\n9.jpg,cat\n", "names 1 photo not found in"),
    ],
)
def test_a_csv_file_that_does_not_fit_is_one_sentence(tmp_path, text, reason):
    place(tmp_path, "photos/1.jpg")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=reason):
        find(tmp_path / "photos", DataOptions(labels=tmp_path / "labels.csv"))


@pytest.mark.parametrize("parts", ["none", "train=photos"])
def test_labels_and_parts_exclude_each_other(tmp_path, parts):
    place(tmp_path, "photos/cat/1.jpg", "photos/dog/2.jpg")
    (tmp_path / "labels.csv").write_text("filename,label\n1.jpg,cat\n2.jpg,dog\n")
    with pytest.raises(DataError, match=r"^--labels and --parts exclude each other"):
        find(tmp_path, DataOptions(labels=tmp_path / "labels.csv", parts=parts))
