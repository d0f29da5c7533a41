"""python -m classifier: every command helps at once, and what is wrong is one sentence and an exit code."""

import json
import os
import re
import subprocess
import sys
import time

import click
import numpy as np
import pytest
from PIL import Image
from support.pictures import encoded, picture

from classifier.cli import commands, main
from web.settings import ROOT

COMMANDS = ["predict", "check", "train", "evaluate", "import", "compile", "feedback", "demo", "doctor"]
HEAVY = ["tensorflow", "keras", "jax", "torch", "sklearn", "matplotlib"]


def called(capsys, *arguments):
    """Return (exit code, stdout, stderr) of a command."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_names_every_command(capsys):
    code, out, _ = called(capsys, "--help")
    assert code == 0
    assert re.findall(r"^  (\w+) ", out.partition("Commands:")[2], re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys, command):
    code, out, _ = called(capsys, command, "--help")
    assert code == 0
    assert "  -h, --help" in out
    assert len(out.splitlines()) > 5


def test_help_shows_what_the_environment_says(capsys, monkeypatch):
    monkeypatch.setenv("CLASSIFIER_MODEL", "/models/100%s")
    assert "/models/100%s" in called(capsys, "predict", "--help")[1]


def test_help_loads_nothing_heavy():
    code = "import runpy, sys; sys.argv[1:] = ['train', '--help']\n"
    code += "try: runpy.run_module('classifier', run_name='__main__')\n"
    code += f"except SystemExit as exit: print(exit.code, sorted(set({HEAVY}) & sys.modules.keys()))"
    started = time.monotonic()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.splitlines()[-1] == "0 []"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "Missing command"),
        (["guess"], "No such command 'guess'"),
        (["predict"], "Missing argument 'FILE_OR_FOLDER...'"),
        (["predict", "x", "--top", "0"], "'--top'"),
        (["predict", "x", "--top", "many"], "expected a whole number from 1 to 1000, not 'many'"),
        (["predict", "x", "--precision", "float8"], "float32 or bfloat16 or float16 or auto, not 'float8'"),
        (["predict", "x", "--resize", "fit"], "crop or stretch, not 'fit'"),
        (["predict", "x", "--json", "--csv"], "not allowed with"),
        (["predict", "x", "--csv", "-o", "y.csv"], "not allowed with"),
        (["train", "x"], "Missing option '-o' / '--output'"),
        (["train", "x", "-o", "y", "--recipe", "best"], "expected transfer or small or dropout or gray, not 'best'"),
        (["train", "x", "-o", "y", "--epochs", "0"], "'--epochs'"),
        (
            ["train", "x", "-o", "y", "--augment", "flip,shout"],
            "expected none or some of flip,zoom,rotate,contrast, not 'flip,shout'",
        ),
        (["import", "x", "-o", "y"], "Missing option '--labels'"),
    ],
)
def test_a_wrong_call_is_told_with_exit_code_2(capsys, arguments, reason):
    code, out, err = called(capsys, *arguments)
    assert (code, out) == (2, "")
    assert reason in err.splitlines()[-1]


@pytest.mark.parametrize(("name", "value"), [("PRECISION", "float8"), ("RESIZE", "fit")])
def test_a_wrong_setting_is_told_too(capsys, monkeypatch, name, value):
    monkeypatch.setenv(f"CLASSIFIER_{name}", value)
    code, _, err = called(capsys, "predict", "x")
    assert code == 2
    assert f"CLASSIFIER_{name}" in err.splitlines()[-1]
    assert err.splitlines()[-1].endswith(f"not {value!r}.")


@pytest.mark.parametrize(
    ("command", "setting", "value"),
    [
        *[("predict", name, "7") for name in ("TOP", "MAX_MEGAPIXELS", "MAX_BATCH")],
        *[("predict", name, "/some/where") for name in ("MODEL", "WEIGHTS", "LABELS")],
        *[("train", "WEIGHTS", "/some/where"), ("train", "RESIZE", "stretch")],
        *[("evaluate", "PRECISION", "float16"), ("predict", "PRECISION", "float16"), ("predict", "RESIZE", "stretch")],
        *[("feedback", "UPLOADS", "/some/where"), ("predict", "ENGINE", "ray")],
        *[(command, "DEVICE", "cpu") for command in ("predict", "train", "evaluate")],
    ],
)
def test_every_command_reads_the_settings_that_it_needs(monkeypatch, command, setting, value):
    """An empty variable counts as unset, and an option wins."""
    arguments = {"predict": ["x"], "train": ["x", "-o", "y"], "evaluate": ["x", "y"], "feedback": ["x"]}[command]
    name = setting.lower()
    default = parsed(command, arguments)[name]
    monkeypatch.setenv(f"CLASSIFIER_{setting}", "")
    assert parsed(command, arguments)[name] == default
    monkeypatch.setenv(f"CLASSIFIER_{setting}", value)
    assert str(parsed(command, arguments)[name]) == str(type(default or "")(value)) != str(default)
    other = {"PRECISION": "bfloat16", "RESIZE": "crop", "ENGINE": "local", "DEVICE": "gpu"}.get(setting, "3")
    option = f"--{name.replace('_', '-')}"
    assert str(parsed(command, [*arguments, option, other])[name]) == str(type(default or "")(other))


def parsed(command, arguments):
    parent = click.Context(commands, **commands.context_settings)
    return commands.commands[command].make_context(command, list(arguments), parent).params


def test_a_path_that_is_not_there_is_told_before_a_model_is_loaded(capsys, tmp_path):
    code, out, err = called(capsys, "predict", "--model", "/nothing/either", tmp_path / "nothing.jpg")
    assert (code, out) == (1, "")
    assert (
        err == f"Cannot predict: {tmp_path / 'nothing.jpg'} does not exist; expected a photo or a folder of photos.\n"
    )


@pytest.mark.parametrize("command", ["train", "demo"])
def test_a_light_installation_says_at_once_that_it_cannot_train(capsys, monkeypatch, tmp_path, command):
    monkeypatch.setenv("KERAS_BACKEND", "none")
    data = [tmp_path] if command == "train" else []
    code, out, err = called(capsys, command, *data, "-o", tmp_path / "model")
    assert (code, out) == (1, "")
    assert err.startswith(f"Cannot {command}: Keras' back end none is not installed")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("missing", ["sklearn", "matplotlib"])
@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.tensorflow
def test_without_the_extra_the_way_to_it_is_told(capsys, monkeypatch, tmp_path, command, missing):
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    for name in [name for name in sys.modules if name.startswith(("classifier.training.", "classifier.evaluation."))]:
        package, _, module = name.rpartition(".")
        monkeypatch.delattr(sys.modules[package], module)
        monkeypatch.delitem(sys.modules, name)  # so that the command imports it again
    arguments = ["train", tmp_path, "-o", tmp_path / "model"] if command == "train" else [command, tmp_path, tmp_path]
    code, out, err = called(capsys, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"Cannot {command}: this needs the extra `train`: .venv/bin/pip install")
    assert len(err.splitlines()) == 1


def test_another_module_that_is_missing_is_a_fault_of_ours(monkeypatch):
    monkeypatch.setitem(sys.modules, "classifier.prediction.output", None)
    monkeypatch.delattr("classifier.prediction.output", raising=False)
    with pytest.raises(ImportError):
        main(["predict", "x"])


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    from support.model_folders import write_colours

    return write_colours(tmp_path_factory.mktemp("models") / "colours")


@pytest.fixture
def photos(tmp_path):
    for colour in ("red", "lime", "blue"):
        (tmp_path / "photos" / colour).mkdir(parents=True)
        (tmp_path / "photos" / colour / "1.png").write_bytes(picture(colour))
    return tmp_path / "photos"


@pytest.mark.tensorflow
def test_predict_answers_and_its_exit_code_tells_of_failures(capsys, own, photos):
    code, out, err = called(capsys, "predict", "--model", own, "--json", "--top", "1", photos)
    assert code == 0
    assert [json.loads(line)["predictions"][0]["label"] for line in out.splitlines()] == ["blue", "green", "red"]
    (photos / "red" / "2.png").write_bytes(b"no photo")
    code, out, err = called(capsys, "predict", "--model", own, photos)
    assert code == 1
    assert f"{photos / 'red' / '2.png'}: This file is not an image" in err.splitlines()[-1]
    assert "green" in out


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "command",
    [
        ["predict", "--model", "{path}", "{photos}"],
        ["evaluate", "{path}", "{photos}"],
        ["import", "{path}.keras", "--labels", "{path}.txt", "-o", "{path}"],
        ["train", "{path}", "-o", "{path}/model"],
        ["check", "{path}"],
    ],
    ids=lambda command: command[0],
)
def test_what_is_missing_is_one_sentence(capsys, tmp_path, photos, command):
    code, out, err = called(capsys, *(part.format(path=tmp_path / "nothing", photos=photos) for part in command))
    assert (code, out) == (1, "")
    assert err.startswith(f"Cannot {command[0]}: ")
    assert len(err.splitlines()) == 1


@pytest.mark.tensorflow
def test_import_makes_a_folder_that_predict_takes(capsys, own, photos, tmp_path):
    (tmp_path / "labels.txt").write_text("rosso\nverde\nblu\n")
    arguments = ["import", own / "model.keras", "--labels", tmp_path / "labels.txt", "-o", tmp_path / "theirs"]
    code, out, _ = called(capsys, *arguments)
    assert code == 0
    assert out == f"3 classes, 32 x 32 pixels, rgb: {tmp_path / 'theirs'}\n"
    code, out, _ = called(capsys, "predict", "--model", tmp_path / "theirs", "--csv", photos / "blue")
    assert code == 0
    assert ",blu," in out


@pytest.fixture
def folds(tmp_path):
    """Two folders with the same two classes, four different photos each."""
    random = np.random.default_rng(0)
    for i, name in enumerate(f"fold {number}/{label}" for number in "12" for label in ("cat", "dog")):
        (tmp_path / "folds" / name).mkdir(parents=True)
        for number in range(4):
            picture = Image.fromarray(random.integers(0, 240, (9, 9, 3), np.uint8)).resize((90, 90))
            (tmp_path / "folds" / name / f"{i}{number}.png").write_bytes(encoded(picture))
    return tmp_path / "folds"


def test_check_asks_which_folders_are_parts_and_takes_the_answer(capsys, folds):
    code, _, err = called(capsys, "check", folds)
    assert (code, "--parts 'train=fold 1,test=fold 2'" in err) == (1, True)
    code, out, _ = called(capsys, "check", folds, "--parts", "train=fold 1,test=fold 2")
    assert code == 0
    assert re.search(r"class +train +test .*cat +4 +4 +0\s+dog +4 +4 +0", out, re.DOTALL)


def test_check_takes_the_labels_of_a_table(capsys, folds, tmp_path):
    rows = [f"{path.relative_to(folds).as_posix()},{path.parent.name.upper()}\n" for path in folds.glob("*/*/*.png")]
    (tmp_path / "labels.csv").write_text("filename,label\n" + "".join(rows))
    code, out, _ = called(capsys, "check", folds, "--labels", tmp_path / "labels.csv")
    assert code == 0
    assert re.search(r"CAT +8 +0\s+DOG +8 +0", out)


@pytest.mark.tensorflow
@pytest.mark.parametrize("command", ["check", "train", "evaluate"])
def test_labels_and_parts_reach_every_command(capsys, own, folds, tmp_path, command):
    (tmp_path / "labels.csv").write_text("filename,label\n")
    model = [own] if command == "evaluate" else []
    output = [] if command == "check" else ["-o", tmp_path / "out"]
    arguments = ["--labels", tmp_path / "labels.csv", "--parts", "none"]
    code, _, err = called(capsys, command, *model, folds, *output, *arguments)
    assert (code, "--labels and --parts exclude each other" in err) == (1, True)


@pytest.mark.tensorflow
def test_what_cannot_be_written_is_one_sentence(capsys, own, tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    output = tmp_path / "labels.txt" / "below"
    code, _, err = called(capsys, "import", own / "model.keras", "--labels", tmp_path / "labels.txt", "-o", output)
    assert code == 1
    assert err.splitlines()[-1].startswith(f"Cannot import: The model folder {output} cannot be written (")


def test_a_reader_who_has_seen_enough_is_no_fault(tmp_path):
    """As with `| head`."""
    read, write = os.pipe()
    os.close(read)
    code = "from classifier import cli; cli.check.callback = lambda **_: print('x' * 10**6)"
    code += f"; raise SystemExit(cli.main(['check', {str(tmp_path)!r}]))"
    result = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    os.close(write)
    assert (result.returncode, result.stderr) == (1, "")
