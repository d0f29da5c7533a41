"""Very many photos: a row for each, whatever interrupts the run, and memory that does not grow with their number."""

import csv
import json
import os
import signal
import subprocess
import sys
from functools import partial
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from support.models import TERMS, ToyModel
from support.pictures import picture
from support.ray_cluster import needs_ray, rays_warnings, started_cluster

from classifier.cli import main
from classifier.cluster.ray_data import Predictor, Streaming, decode
from classifier.contract import Prediction
from classifier.errors import DataError, StartupError
from classifier.options import Limits
from classifier.photos.files import find
from classifier.prediction import bulk, parts
from classifier.prediction.formats import FORMATS, columns
from classifier.prediction.parts import PartWriter
from classifier.prediction.rows import AT_ONCE, Row, rows_of
from classifier.terms import Broader
from web.settings import ROOT

LABELS = {"red": "red_fox", "lime": "Egyptian_cat", "blue": "blue_jay"}
# The command, with the toy model, which tells of every batch.
COMMAND = f"""
import sys
from types import SimpleNamespace
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from support.models import ToyModel
class Telling(ToyModel):
    def __call__(self, images):
        print(len(images), flush=True)
        return super().__call__(images)
sys.modules.update({{"keras": None, "classifier.models.loading": SimpleNamespace(load=lambda *_: Telling())}})
from classifier import cli
from classifier.prediction import parts
parts.PART_ROWS = 16
sys.exit(cli.main(["predict", "--top", "2", *sys.argv[1:]]))
"""


@pytest.fixture
def run(engine):
    """A run of the toy model; `about` is what it has in common with others."""

    def run(**about):
        return bulk.Run(lambda files: rows_of(engine, files), 2, {"model": "toy"} | about)

    return run


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """300 photos in two folders, three of which are none; no test changes them."""
    photos = tmp_path_factory.mktemp("photos")
    for i in range(300):
        path = photos / f"{i % 2}" / f"{i:03}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no photo" if i % 100 == 7 else picture(colour(i), (8, 8)))
    return photos


def colour(i):
    return ("red", "lime", "blue")[i * i % 7 % 3]


def expected(photos):
    """label by file name, None where there is none."""
    return {
        str(photos / f"{i % 2}" / f"{i:03}.png"): None if i % 100 == 7 else LABELS[colour(i)] for i in range(300)
    }  # fmt: skip


def read(output):
    """The rows of an output, each file's exactly once: label by file name."""
    files = sorted(output.glob("part-*.csv")) if output.is_dir() else [output]
    rows = [row for file in files for row in FORMATS[file.suffix[1:]].read(file)]
    assert len({row["file"] for row in rows}) == len(rows)
    return {row["file"]: row["predictions"][0]["label"] if row.get("predictions") else row.get("label_1") or None
            for row in rows}  # fmt: skip


@pytest.fixture(params=["out.csv", "out.jsonl", "out.parquet", "out"])
def output(request, tmp_path):
    if request.param.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="no pyarrow here (pip install -e '.[ray]')")
    return tmp_path / request.param


def test_every_file_has_a_row_and_failures_are_counted(run, photos, output):
    assert run().into(output, find([photos])) == 3
    assert read(output) == expected(photos)
    assert not output.with_name(output.name + ".parts").exists()


def test_what_is_done_is_not_done_again(run, photos, output):
    files = find([photos])
    first = bulk.Run(lambda files: islice(run().answer(files), 100), 2, {"model": "toy"})
    with pytest.raises(KeyboardInterrupt, match="100 of 300 files are done"):
        bulk.Run(lambda files: interrupted(first.answer(files)), 2, {"model": "toy"}).into(output, files)
    asked = []
    second = bulk.Run(lambda files: asked.extend(files) or run().answer(files), 2, {"model": "toy"})
    assert second.into(output, files) == 3
    assert len(asked) == 200
    assert read(output) == expected(photos)
    assert second.into(output, files) == 3
    assert len(asked) == 200


def interrupted(rows):
    yield from rows
    raise KeyboardInterrupt


def test_a_folder_of_parts_takes_more_files_later(run, photos, tmp_path):
    output = tmp_path / "out"
    assert run().into(output, find([photos / "0"])) == 0
    assert run().into(output, find([photos])) == 3
    assert read(output) == expected(photos)


def test_a_file_that_is_whole_takes_no_more(run, photos, tmp_path):
    run().into(tmp_path / "out.csv", find([photos / "0"]))
    with pytest.raises(DataError, match=r"out\.csv already exists, for other files; please choose another output"):
        run().into(tmp_path / "out.csv", find([photos]))


def test_another_model_needs_another_output(run, photos, tmp_path):
    files = find([photos])
    run().into(tmp_path / "out", files)
    with pytest.raises(DataError, match=r"out was begun with another model \(toy\); please choose another output"):
        run(model="other").into(tmp_path / "out", files)


def test_a_folder_of_parts_does_not_tell_where_the_model_is(run, photos, tmp_path):
    output, files = tmp_path / "out", find([photos])
    run(model="/home/ann/models/flowers").into(output, files)
    assert [path for path in output.iterdir() if b"/home/ann" in path.read_bytes()] == []
    run(model="/home/ann/models/flowers").into(output, files)
    with pytest.raises(DataError, match=r"another model \(flowers \("):
        run(model="/home/bob/models/flowers").into(output, files)


def test_two_runs_do_not_write_into_one_output(run, photos, tmp_path):
    with (
        PartWriter(tmp_path / "out", "csv", columns(2), {"model": "toy"}),
        pytest.raises(DataError, match="Another run is writing into"),
    ):
        run().into(tmp_path / "out", find([photos]))


def test_each_file_counts_once(run, photos, tmp_path):
    files = find([photos / "0" / "002.png", photos / "0", photos / "0" / "004.png"])
    run().into(tmp_path / "out.csv", files)
    rows = list(FORMATS["csv"].read(tmp_path / "out.csv"))
    assert len(rows) == len({row["file"] for row in rows}) == 150
    assert rows[0]["file"] == str(photos / "0" / "002.png")
    with pytest.raises(DataError, match=r"none\.jpg does not exist; expected a photo or a folder"):
        find([photos / "none.jpg"])


@pytest.mark.parametrize("name", ["out.txt", "out.json"])
def test_an_output_of_another_kind_is_told(tmp_path, name):
    with pytest.raises(DataError, match=r"must end in \.csv, \.jsonl, \.parquet, or be a folder"):
        bulk.parts_of(tmp_path / name)


def test_csv_and_json_rows_are_those_of_the_engine(run, engine, photos, tmp_path):
    files = find([photos])[:20]
    run().into(tmp_path / "out.csv", files)
    run().into(tmp_path / "out.jsonl", files)
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    objects = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for file, row, object in zip(files, rows, objects, strict=True):
        (answer,) = engine.classify([Path(file).read_bytes()])
        assert object["file"] == row["file"] == str(file)
        if row["error"]:
            assert row["error"] == object["error"] == str(answer)
        else:
            assert object["predictions"] == [vars(best) for best in answer.predictions]
            assert float(row["score_2"]) == pytest.approx(answer.predictions[1].score, abs=1e-6)


def test_names_that_are_no_text_or_break_lines(run, tmp_path, output):
    for name in (b"caf\xe9.png", b'two\nlines, "quoted".png'):
        try:
            (tmp_path / "in").mkdir(exist_ok=True)
            Path(os.fsdecode(os.fsencode(tmp_path) + b"/in/" + name)).write_bytes(picture("red", (8, 8)))
        except OSError:
            pytest.skip("this file system has only names in Unicode")
    files = find([tmp_path / "in"])
    for _ in range(2):
        assert run().into(output, files) == 0
    names = {"caf\\xe9.png", 'two\nlines, "quoted".png'}
    assert read(output) == {str(tmp_path / "in" / name): "red_fox" for name in names}


def test_few_photos_are_on_their_way_however_many_there_are(engine, tmp_path):
    (tmp_path / "a.png").write_bytes(picture("red", (8, 8)))
    numbers = count()
    rows = rows_of(engine, (tmp_path / "a.png" for _ in numbers))
    assert len(list(islice(rows, 1000))) == 1000
    rows.close()
    assert next(numbers) <= 1000 + 4 * AT_ONCE


def called(photos, output, *, stop=None, after=0):
    """(exit code, stderr) of the command, which gets the signal `stop` after so many batches."""
    command = [sys.executable, "-c", COMMAND, str(photos), "-o", str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(after):
            process.stdout.readline()
        if stop:
            process.send_signal(stop)
        _, err = process.communicate()
    return process.returncode, err


def test_killed_and_interrupted_runs_go_on_without_losing_or_repeating_a_row(photos, tmp_path):
    output = tmp_path / "out.csv"
    for stop, after in ((signal.SIGKILL, 3), (signal.SIGINT, 3), (signal.SIGKILL, 1)):
        code, err = called(photos, output, stop=stop, after=after)
        assert code in (-9, 130, 1)  # 1: done before the signal came, with its three failures
        if code == 130:
            assert "of 300 files are done. The same command continues." in err.splitlines()[-1]
    assert called(photos, output)[0] == 1
    assert read(output) == expected(photos)


@pytest.mark.parametrize("moment", ["fsync", "replace", "rmtree"])
def test_a_crash_at_the_worst_moment_costs_no_row(run, photos, output, monkeypatch, moment):
    """Simulate the end of the process at this point."""
    monkeypatch.setattr(parts, "PART_ROWS", 64)
    where = {"fsync": "os.fsync", "replace": "pathlib.Path.replace", "rmtree": "shutil.rmtree"}[moment]
    files = find([photos])
    for survived in range(12):
        with monkeypatch.context() as patch:
            left = iter(range(survived))
            real = {"fsync": os.fsync, "replace": Path.replace, "rmtree": parts.shutil.rmtree}[moment]

            def dies(*args, real=real, left=left, **options):
                if next(left, None) is None:
                    raise SystemExit
                return real(*args, **options)

            patch.setattr(where, dies)
            try:
                run().into(output, files)
            except SystemExit:
                continue
            break
    assert run().into(output, files) == 3
    assert read(output) == expected(photos)
    assert not output.with_name(output.name + ".parts").exists()


def test_parquet_needs_pyarrow_which_is_told(run, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StartupError, match=r"Parquet files need pyarrow: .*pip install"):
        run().into(tmp_path / "out.parquet", find([photos]))


def test_ray_without_an_output_is_told(capsys, photos):
    assert main(["predict", "--engine", "ray", str(photos)]) == 1
    assert (
        capsys.readouterr().err
        == "Cannot predict: --engine ray writes to files; please choose an output with -o OUT.\n"
    )


def test_without_ray_the_way_to_it_is_told(capsys, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "classifier.cluster.ray_serve", raising=False)
    monkeypatch.delattr("classifier.cluster.ray_serve", raising=False)
    assert main(["predict", "--engine", "ray", "-o", str(tmp_path / "out.csv"), str(photos)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Cannot predict: ")
    assert "pip install" in err
    assert len(err.splitlines()) == 1


@needs_ray
@pytest.mark.ray
@rays_warnings
def test_ray_data_gives_the_same_rows_and_goes_on_too(run, photos, tmp_path):
    started_cluster()
    files = find([photos])
    streamed = bulk.Run(Streaming(ToyModel, ToyModel.info, Limits(top=2)).rows, 2, {"model": "toy"})
    assert run().into(tmp_path / "here", files) == 3
    assert run().into(tmp_path / "there", files[:100]) == 0
    assert streamed.into(tmp_path / "there", files) == 3
    assert read(tmp_path / "there") == read(tmp_path / "here") == expected(photos)
    assert lines(tmp_path / "there") == lines(tmp_path / "here")


def lines(output):
    return sorted(line for part in output.glob("part-*.csv") for line in set(part.read_text().splitlines()[1:]))


def test_what_the_actors_do_is_what_the_engine_does(engine, photos):
    """Run the two steps one after the other, without Ray."""
    files = [str(path) for path in find([photos])[:20]]
    decoded = [decode({"file": file}, ToyModel.info.size, "crop", 50) for file in files]
    batch = {name: np.array([row[name] for row in decoded]) for name in decoded[0]}
    done = Predictor(ToyModel, Limits(top=2))(batch)
    for row, file, answer, error in zip(
        rows_of(engine, files), done["file"], done["answer"], done["error"], strict=True
    ):
        assert file == str(row.path)
        assert error == (row.error or "")
        if not error:
            assert json.loads(answer)["predictions"] == [vars(best) for best in row.predictions]


def test_the_broader_term_comes_from_the_actors_as_well(tmp_path):
    (tmp_path / "1.png").write_bytes(picture("olive"))
    decoded = decode({"file": str(tmp_path / "1.png")}, ToyModel.info.size, "crop", 50)
    done = Predictor(partial(ToyModel, terms=TERMS), Limits())({name: np.array([decoded[name]]) for name in decoded})
    broader = json.loads(done["answer"][0])["broader"]
    assert (broader["label"], broader["score"]) == ("mammal", pytest.approx(258 / 259, abs=1e-4))


def test_parquet_has_the_broader_term_as_text_and_its_score_as_a_number(tmp_path):
    pytest.importorskip("pyarrow")
    row = Row(tmp_path / "1.png", (Prediction(0, "n0", "pug", 0.4),), sure=False, broader=Broader("n1", "dog", 0.9))
    form = FORMATS["parquet"]
    form.write([form.record(row)], columns(1), tmp_path / "out.parquet")
    (record,) = form.read(tmp_path / "out.parquet")
    assert (record["broader"], record["broader_score"], record["sure"]) == ("dog", 0.9, False)
