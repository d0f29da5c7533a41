"""Class folders may nest: what a folder of class folders is called is a broader term for its classes."""

import pytest

from classifier.dataset.layout import find
from classifier.dataset.options import DataOptions


def place(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder, **options):
    layout = find(folder, DataOptions(**options))
    return layout.classes, layout.groups


def test_a_folder_of_class_folders_is_a_group(tmp_path):
    place(tmp_path, "dog/collie/1.jpg", "dog/beagle/2.jpg", "cat/3.jpg")
    assert found(tmp_path) == (["beagle", "cat", "collie"], {"dog": ["beagle", "collie"]})
    photos = {photo.path.name: find(tmp_path).classes[photo.label] for photo in find(tmp_path).photos}
    assert photos == {"1.jpg": "collie", "2.jpg": "beagle", "3.jpg": "cat"}


def test_groups_hold_groups(tmp_path):
    place(
        tmp_path, "pet/dog/collie/1.jpg", "pet/dog/beagle/2.jpg", "pet/cat/3.jpg", "wild/lion/4.jpg", "wild/wolf/5.jpg"
    )
    assert found(tmp_path)[1] == {
        "dog": ["beagle", "collie"],
        "pet": ["beagle", "cat", "collie"],
        "wild": ["lion", "wolf"],
    }


def test_the_parts_of_a_split_have_the_same_groups(tmp_path):
    place(tmp_path, "train/dog/collie/1.jpg", "train/dog/beagle/2.jpg", "train/cat/3.jpg", "test/dog/collie/4.jpg")
    place(tmp_path, "test/cat/5.jpg")
    layout = find(tmp_path)
    assert layout.groups == {"dog": ["beagle", "collie"]}
    parts = {photo.path.name: (layout.classes[photo.label], photo.part) for photo in layout.photos}
    assert parts["4.jpg"] == ("collie", "test")
    assert parts["2.jpg"] == ("beagle", "train")


@pytest.mark.parametrize(
    "names",
    [
        ["dog/1.jpg", "dog/collie/2.jpg", "dog/beagle/3.jpg", "cat/4.jpg"],
        ["dog/images/1.jpg", "cat/2.jpg"],
        ["dog/batch1/1.jpg", "dog/batch2/2.jpg", "cat/3.jpg"],
        ["dog/2024-05-01/1.jpg", "dog/2024-05-02/2.jpg", "cat/3.jpg"],
        ["dog/front/1.jpg", "dog/back/2.jpg", "cat/Front/3.jpg", "cat/Side/4.jpg"],
        ["dog/cat/1.jpg", "dog/fox/2.jpg", "cat/3.jpg"],
        ["dog/collie/1.jpg", "dog/notes/readme.txt", "cat/3.jpg"],
    ],
    ids=["photos beside", "one folder", "numbers", "dates", "the same names", "a class's name", "no photos"],
)
def test_other_folders_inside_a_class_belong_to_it(tmp_path, names):
    place(tmp_path, *names)
    (tmp_path / "dog" / "nothing").mkdir(exist_ok=True)
    assert found(tmp_path) == (["cat", "dog"], {})


def test_a_link_beside_them_has_no_other_class(tmp_path):
    place(tmp_path, "dog/collie/1.jpg", "dog/beagle/2.jpg", "cat/3.jpg")
    (tmp_path / "dog" / "all").symlink_to(tmp_path / "dog")
    assert found(tmp_path) == (["cat", "dog"], {})


def test_flat_makes_each_group_one_class(tmp_path):
    place(tmp_path, "dog/collie/1.jpg", "dog/beagle/2.jpg", "cat/3.jpg")
    assert found(tmp_path, flat=True) == (["cat", "dog"], {})
