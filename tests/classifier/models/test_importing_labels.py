"""The names of the classes are read from the files in which people keep them, in the order of the outputs."""

import pytest

from classifier.errors import StartupError
from classifier.models.label_files import read

READ = [
    ("l.txt", "cat\ndog\n"),
    ("l.txt", "cat\r\n\r\n dog \r\n"),
    ("l.txt", "\ufeffcat\ndog"),
    ("l.txt", "0 cat\n1 dog"),
    ("l.txt", "1 dog\n0 cat"),
    ("l.txt", "1. cat\n2. dog"),
    ("l.txt", "0: cat\n1: dog"),
    ("l.txt", "0,cat\n1,dog"),
    ("l.txt", "0\tcat\n1\tdog"),
    ("l.txt", "cat, dog\n"),
    ("l.txt", '["cat", "dog"]'),
    ("l.csv", "id,name\n0,cat\n1,dog\n"),
    ("l.csv", "name,id\ndog,1\ncat,0\n"),
    ("l.csv", "id;breed\n0;cat\n1;dog\n"),
    ("l.csv", "label\ncat\ndog\n"),
    ("l.csv", "cat\ndog\n"),
    ("l.json", '["cat", "dog"]'),
    ("l.json", '{"dog": 1, "cat": 0}'),
    ("l.json", '{"0": "cat", "1": "dog"}'),
    ("l.json", '{"0": ["n02121620", "cat"], "1": ["n02084071", "dog"]}'),
    ("l.json", '{"model_type": "vit", "id2label": {"0": "cat", "1": "dog"}, "label2id": {"cat": 0, "dog": 1}}'),
    ("l.json", '{"modelName": "pets", "labels": ["cat", "dog"]}'),
]


@pytest.mark.parametrize(("name", "text"), READ)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_a_file_of_labels_in_the_forms_that_people_have(tmp_path, name, text, encoding):
    (tmp_path / name).write_bytes(text.removeprefix("\ufeff" if encoding != "utf-8" else "").encode(encoding))
    assert read(tmp_path / name) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("l.txt", "0\n1\n2", ["0", "1", "2"]),
        ("l.txt", "5 apples\n3 pears", ["5 apples", "3 pears"]),
        ("l.txt", "1 euro\n1 cent", ["1 euro", "1 cent"]),
        ("l.json", '{"0": 0, "1": 1}', ["0", "1"]),
        ("l.txt", "Kätzchen\nwithout_mask", ["Kätzchen", "without_mask"]),
    ],
)
def test_a_number_may_be_part_of_a_name(tmp_path, name, text, names):
    (tmp_path / name).write_text(text, "utf-8")
    assert read(tmp_path / name) == names


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("l.txt", b"\xff\nb\n", "please save the file as UTF-8"),
        ("l.txt", b"", "expected at least two names, found 0"),
        ("l.txt", b"one\n\n", "expected at least two names, found 1"),
        ("l.txt", b"a\tb\nc\nd", "cannot be shown"),
        ("l.json", b"{", "no valid JSON at line 1, column 2"),
        ("l.json", b"[" * 100_000, "nested too deeply"),
        ("l.json", b'{"0": "cat", "2": "dog"}', "numbers that do not run from 0 without a gap"),
        ("l.json", b'{"cat": true, "dog": false}', "the entry True"),
        ("l.json", b"[1, 2]", "the entry 1"),
        ("l.csv", b"", "found 0"),
        ("l.txt", None, "No such file"),
    ],
)
def test_a_file_of_something_else_is_refused_without_advice_about_imagenet(tmp_path, name, data, reason):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(StartupError) as raised:
        read(tmp_path / name)
    message = str(raised.value)
    assert message.startswith(f"The labels {tmp_path / name}")
    assert reason in message
    assert "ImageNet" not in message
