"""The command line gives the engine's answers, one row per photo and in order, even if some files are not photos."""

import csv
import io
import json
import os
from pathlib import Path

import pytest
from support.models import ComparingModel
from support.pictures import picture

from classifier.errors import DataError
from classifier.options import Limits
from classifier.photos.files import find
from classifier.prediction import bulk
from classifier.prediction.output import run
from classifier.prediction.rows import AT_ONCE, predict, rows_of
from classifier.serving.engine import LocalEngine


@pytest.fixture
def photos(tmp_path):
    """A folder with a subfolder: red, lime and blue photos, and two files that are not photos."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name, content in {
        "a.png": picture("red"),
        "b.txt": b"no photo",
        "c.jpg": picture("blue", format="JPEG"),
        "d.png": b"",
        "more/e.png": picture("lime"),
        ".hidden": b"",
    }.items():
        (folder / name).write_bytes(content)
    return folder


def ran(engine, paths, format):
    out = io.StringIO()
    return run(engine, find(paths), format, 2, out), out.getvalue()


def test_files_are_found_in_order_and_hidden_ones_are_not(photos):
    names = [path.name for path in find([photos / "c.jpg", photos, photos / "a.png"])]
    assert names == ["c.jpg", "a.png", "b.txt", "c.jpg", "d.png", "e.png", "a.png"]


def test_a_path_that_is_not_there(tmp_path, photos):
    with pytest.raises(DataError, match=r"nothing\.jpg does not exist; expected a photo or a folder of photos\."):
        find([photos, tmp_path / "nothing.jpg"])


def test_json_is_an_object_per_line_with_the_answers_of_the_engine(engine, photos):
    failed, text = ran(engine, [photos], "json")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [Path(row["file"]).name for row in rows] == ["a.png", "b.txt", "c.jpg", "d.png", "e.png"]
    for row in rows:
        (answer,) = engine.classify([Path(row["file"]).read_bytes()])
        if "error" in row:
            assert row == {"file": row["file"], "error": str(answer)}
        else:
            assert row["predictions"] == [vars(prediction) for prediction in answer.predictions]
    assert failed == 2


def test_csv_has_the_same_columns_in_every_row(engine, photos):
    failed, text = ran(engine, [photos / "b.txt", photos], "csv")
    header, *rows = csv.reader(io.StringIO(text))
    about = ["file", "error", "sure", "broader", "broader_score", "familiar", "familiarity"]
    assert header == [*about, "label_1", "score_1", "label_2", "score_2"]
    assert [row[7] for row in rows] == ["", "red_fox", "", "blue_jay", "", "Egyptian_cat"]
    assert {len(row) for row in rows} == {11}
    assert {(row[5], row[6]) for row in rows} == {("", "")}
    assert rows[1][8] == f"{256 / 258:.6f}"
    assert "not an image" in rows[0][1]
    assert failed == 3


def test_csv_is_the_same_printed_and_in_a_file(engine, photos, tmp_path):
    _, text = ran(engine, [photos], "csv")
    bulk.Run(lambda files: rows_of(engine, files), 2, {}).into(tmp_path / "out.csv", find([photos]))
    assert text == (tmp_path / "out.csv").read_bytes().decode()


@pytest.fixture
def comparing():
    engine = LocalEngine(ComparingModel(threshold=0.5), Limits(top=2))
    yield engine
    engine.close()


def test_a_photo_of_none_of_the_classes_is_marked_in_every_format(comparing, tmp_path):
    (tmp_path / "grey.png").write_bytes(picture("#404041"))
    (tmp_path / "red.png").write_bytes(picture("red"))
    (grey, red) = csv.DictReader(io.StringIO(ran(comparing, [tmp_path], "csv")[1]))
    assert (grey["familiar"], red["familiar"]) == ("False", "True")
    assert float(grey["familiarity"]) < 0.5 <= float(red["familiarity"])
    (grey, red) = map(json.loads, ran(comparing, [tmp_path], "json")[1].splitlines())
    assert (grey["familiar"], red["familiar"]) == (False, True)
    assert grey["familiarity"] < 0.5 <= red["familiarity"]
    table = ran(comparing, [tmp_path], "table")[1]
    assert "none of these, nearest blue_jay" in table
    assert "not sure" not in table


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("csv", "file,error,sure,broader,broader_score,familiar,familiarity,label_1,score_1,label_2,score_2\r\n"),
        ("json", ""),
    ],
)
def test_an_empty_folder_is_an_empty_answer(engine, tmp_path, format, expected):
    assert ran(engine, [tmp_path], format) == (0, expected)


def test_the_table_has_a_line_per_photo_however_long_its_path(engine, photos):
    deep = photos.joinpath(*["a-rather-long-name-of-a-folder"] * 8)
    deep.mkdir(parents=True)
    (deep / "f.png").write_bytes(picture("red"))
    _, text = ran(engine, [deep / "f.png", photos / "b.txt"], "table")
    (line,) = [line for line in text.splitlines() if str(deep / "f.png") in line]
    assert "red_fox" in line
    assert "99.22%" in line
    (line,) = [line for line in text.splitlines() if "b.txt" in line]
    assert "please send a JPEG" in line


def test_a_name_is_no_markup(engine, tmp_path):
    name = "[bold]:smile: 100%[/bold].png"
    (tmp_path / name.replace("/", "|")).write_bytes(picture("red"))
    assert "[bold]:smile: 100%[|bold].png" in ran(engine, [tmp_path], "table")[1]


def test_what_could_not_be_answered_is_listed_on_stderr(engine, photos, capsys):
    ran(engine, [photos], "json")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(photos / "b.txt"), str(photos / "d.png")]


@pytest.mark.parametrize("format", ["table", "json", "csv"])
def test_a_name_that_is_no_text_does_no_harm(engine, tmp_path, capfdbinary, format):
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        Path(os.fsdecode(path)).write_bytes(picture("red"))
    except OSError:
        pytest.skip("this file system has only names in Unicode")
    with open(1, "w", encoding="utf-8", closefd=False) as stdout, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", stdout)
        assert run(engine, find([tmp_path]), format, 2) == 0
    assert {"json": b"caf\\udce9.png"}.get(format, b"caf\xe9.png") in capfdbinary.readouterr().out


def test_many_photos_keep_their_order(engine, tmp_path):
    colours = [("red", "lime", "blue")[i * i % 3] for i in range(2 * 4 * AT_ONCE + 7)]
    for i, colour in enumerate(colours):
        (tmp_path / f"{i:04}.png").write_bytes(picture(colour, (8, 8)))
    rows = list(predict(engine, find([tmp_path])))
    assert [row.path.name for row in rows] == [f"{i:04}.png" for i in range(len(colours))]
    names = {"red": "red_fox", "lime": "Egyptian_cat", "blue": "blue_jay"}
    assert [row.predictions[0].label for row in rows] == [names[colour] for colour in colours]


def test_a_file_that_goes_away_is_a_row(engine, photos):
    paths = find([photos])
    (photos / "a.png").unlink()
    assert next(predict(engine, paths)).error


def test_a_photo_that_lacks_its_last_bytes_is_answered_and_named(engine, tmp_path, caplog):
    path = tmp_path / "cut-off.jpg"
    path.write_bytes(picture("lime", format="JPEG")[:-2])
    (row,) = predict(engine, [path])
    assert row.error is None
    assert "cut-off.jpg: The end of this file is missing" in caplog.text
