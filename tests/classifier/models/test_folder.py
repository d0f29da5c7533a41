"""A model folder is written completely or not at all, and a changed one is refused with a one-line reason."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.loading import load
from support.model_folders import COLOURS, colours, write_colours

from classifier import atomic
from classifier.errors import StartupError

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_colours(tmp_path_factory.mktemp("models") / "colours", threshold=0.5, training={"epochs": 3})


@pytest.fixture
def own(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "colours"))


def edited(path: Path, **changes) -> Path:
    card = json.loads((path / "model.json").read_text())
    (path / "model.json").write_text(json.dumps(card | changes))
    return path


def refused(path: Path) -> str:
    with pytest.raises(StartupError) as raised:
        load(path)
    message = str(raised.value)
    assert message.startswith(f"The model folder {path} cannot be used: ")
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.every_backend
def test_what_was_written_is_read(original):
    from classifier.models import folder

    network, card = folder.read(original)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(network(pixels), colours()(pixels))
    assert (card.labels, card.size, card.threshold, card.resize) == (COLOURS, (32, 32), 0.5, "crop")
    assert card.training == {"epochs": 3}
    assert card.versions.keys() == {"python", "keras", "backend"}
    assert replace(card, size=(32, 32)) == card


def test_a_network_built_without_initial_values_is_read_where_nothing_else_was_imported(tmp_path):
    """`weights.Unset` is saved as `classifier>Unset`, which Keras knows once `models.folder` is imported."""
    import keras

    from classifier.models import folder, weights

    with weights.unset():
        images = keras.Input((32, 32, 3), dtype="uint8", name="images")
        means = keras.layers.GlobalAveragePooling2D()(keras.ops.cast(images, "float32"))
        network = keras.Model(images, keras.layers.Dense(3, activation="softmax")(means))
    folder.write(tmp_path, network, folder.ModelCard(labels=COLOURS, size=(32, 32)))
    keras_alone = "from classifier.models.quick_start import import_keras; import_keras()"  # twice as fast
    reading = f"from pathlib import Path; from classifier.models import folder; folder.read(Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", f"{keras_alone}; {reading}"], check=True)


@pytest.mark.parametrize("name", ["model.json", "model.keras"])
@pytest.mark.parametrize("how", ["missing", "a folder"])
def test_a_file_that_is_not_there(own, name, how):
    (own / name).unlink()
    if how == "a folder":
        (own / name).mkdir()
    assert f"it has no readable {name}" in refused(own)


def test_a_folder_that_is_not_there(tmp_path):
    assert "it has no readable model.json" in refused(tmp_path / "nothing")


@pytest.mark.parametrize("fault", ["cut short", "a byte changed", "empty"])
def test_a_network_that_is_not_what_was_written(own, fault):
    path = own / "model.keras"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"cut short": data[:-100], "a byte changed": data, "empty": b""}[fault])
    assert "model.keras is not the file that was written with model.json" in refused(own)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"labels": COLOURS[:2]}, "has 2 labels for 32 x 32 pixels, and the network gives 3"),
        ({"labels": [*COLOURS, "grey"]}, "has 4 labels"),
        ({"size": [64, 32]}, "64 x 32 pixels, and the network"),
        ({"labels": "rgb"}, "each a name"),
        ({"labels": {"red": 0, "green": 1, "blue": 2}}, "each a name"),
        ({"labels": None}, "each a name"),
        ({"labels": ["red", "", "blue"]}, "each a name"),
        ({"labels": ["red", "gr\neen", "blue"]}, "each a name"),
        ({"labels": ["red", 2, "blue"]}, "each a name"),
        ({"labels": ["red"]}, "at least two labels"),
        ({"size": 32}, "damaged"),
        ({"size": None}, "damaged"),
        ({"size": [32]}, "expected a size of height and width"),
        ({"size": [32, 32.0]}, "expected a size"),
        ({"size": ["32", "32"]}, "expected a size"),
        ({"size": [32, -1]}, "expected a size"),
        ({"size": [32, 10**9]}, "expected a size"),
        ({"threshold": 7}, "threshold to be from 0 to 1"),
        ({"threshold": -0.1}, "threshold to be from 0 to 1"),
        ({"threshold": float("nan")}, "threshold to be from 0 to 1"),
        ({"threshold": "0.5"}, "damaged"),
        ({"resize": "fit"}, "resize to be crop or stretch"),
        ({"metrics": []}, "training and metrics to be objects"),
        ({"training": "long"}, "training and metrics to be objects"),
        ({"sha256": 7}, "was changed or cut short"),
        ({"speed": "fast"}, "damaged"),
    ],
)
def test_a_card_that_was_edited(own, changes, reason):
    assert reason in refused(edited(own, **changes))


@pytest.mark.parametrize("key", ["labels", "size"])
def test_a_card_that_lacks_something(own, key):
    card = json.loads((own / "model.json").read_text())
    del card[key]
    (own / "model.json").write_text(json.dumps(card))
    assert "its model.json is damaged" in refused(own)


@pytest.mark.parametrize(
    "content",
    [b"", b"not json", b"[]", b'"text"', b"null", b"[" * 200_000, b"\xff\xfe", b'{"size": ' + b"9" * 5000 + b"}"],
    ids=["empty", "text", "list", "string", "null", "deep", "binary", "huge number"],
)
def test_a_card_that_is_none(own, content):
    (own / "model.json").write_bytes(content)
    assert "its model.json is damaged" in refused(own)


def test_labels_may_be_renamed_and_then_mean_what_the_card_says(own):
    """Only the network has a checksum: people may correct the names."""

    ours = load(edited(own, labels=["rosso", "verde", "blu"]))
    assert [label.name for label in ours.info.labels] == ["rosso", "verde", "blu"]


def names(path: Path) -> list[str]:
    return sorted(child.name for child in path.iterdir())


def fill(part: Path, content: str = "new") -> None:
    for name in ("model.json", "model.keras"):
        (part / name).write_text(content)


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "models" / "mine"
    path.mkdir(parents=True)
    fill(path, "old")
    (path / "report.html").touch()
    return path


def test_a_new_folder_is_put_in_place_with_those_above_it(tmp_path):
    from classifier.models import folder

    with folder.replaced(tmp_path / "a" / "b" / "mine") as part:
        fill(part)
        assert not (tmp_path / "a" / "b" / "mine").exists()
    assert names(tmp_path / "a" / "b") == ["mine"]
    assert names(tmp_path / "a" / "b" / "mine") == ["model.json", "model.keras"]
    assert (tmp_path / "a" / "b" / "mine").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("system", ["with renameat2", "without"])
def test_an_old_folder_is_replaced_as_a_whole(old, monkeypatch, system):
    from classifier.models import folder

    if system == "without":
        monkeypatch.setattr(atomic.ctypes, "CDLL", lambda name: object())
    with folder.replaced(old) as part:
        fill(part)
        assert (old / "model.json").read_text() == "old"
    assert names(old.parent) == ["mine"]
    assert names(old) == ["model.json", "model.keras"]
    assert (old / "model.json").read_text() == "new"


@pytest.mark.skipif(not hasattr(__import__("ctypes").CDLL(None), "renameat2"), reason="this system has no renameat2")
def test_the_name_is_never_without_a_folder(old, monkeypatch):
    """The folders are exchanged in one step, not by two renames."""
    from classifier.models import folder

    monkeypatch.setattr(Path, "rename", None)
    with folder.replaced(old) as part:
        fill(part)
    assert (old / "model.json").read_text() == "new"


@pytest.mark.parametrize("error", [StartupError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("there", [True, False])
def test_after_an_error_all_is_as_it_was(old, error, there):
    from classifier.models import folder

    target = old if there else old.with_name("other")

    def interrupted():
        with folder.replaced(target) as part:
            fill(part)
            raise error("no")

    with pytest.raises(StartupError if error is OSError else error):
        interrupted()
    assert names(old.parent) == ["mine"]
    assert (old / "model.json").read_text() == "old"


def test_an_old_folder_comes_back_when_the_new_one_cannot_take_its_place(old, monkeypatch):
    from classifier.models import folder

    rename = Path.rename
    monkeypatch.setattr(atomic, "exchanged", lambda one, other: False)
    monkeypatch.setattr(
        Path, "rename", lambda path, target: os.listdir("/nowhere") if ".part" in path.name else rename(path, target)
    )
    with pytest.raises(StartupError, match="cannot be written"), folder.replaced(old) as part:
        fill(part)
    assert names(old.parent) == ["mine"]
    assert (old / "model.json").read_text() == "old"


@pytest.mark.parametrize("mine", ["notes.txt", "model.json", "model.keras"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, mine):
    """Also one that has a model.json of its own, as TensorFlow.js models do."""
    from classifier.models import folder

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / mine).write_text("mine")
    with (
        pytest.raises(StartupError, match=r"is not a model folder; it is left alone"),
        folder.replaced(tmp_path / "mine"),
    ):
        pytest.fail("not to be begun")
    assert names(tmp_path) == ["mine"]
    assert (tmp_path / "mine" / mine).read_text() == "mine"


def test_a_file_is_left_alone(tmp_path):
    from classifier.models import folder

    (tmp_path / "mine").write_text("mine")
    with pytest.raises(StartupError, match="left alone"), folder.replaced(tmp_path / "mine"):
        pytest.fail("not to be begun")
    with pytest.raises(StartupError, match="cannot be written"), folder.replaced(tmp_path / "mine" / "below"):
        pytest.fail("not to be begun")
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("output", ["mine", "mine/", "./mine/.", "mine/../mine"])
def test_an_empty_folder_is_free_however_it_is_written(tmp_path, monkeypatch, output):
    from classifier.models import folder

    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    with folder.replaced(Path(output)) as part:
        fill(part)
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == ["model.json", "model.keras"]


def test_the_folder_one_is_in_can_be_the_output(tmp_path, monkeypatch):
    from classifier.models import folder

    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    with folder.replaced(Path(".")) as part:
        fill(part)
    monkeypatch.chdir(tmp_path)
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == ["model.json", "model.keras"]


def test_a_link_stays_a_link(old):
    from classifier.models import folder

    link = old.parent / "current"
    link.symlink_to(old.name)
    with folder.replaced(link) as part:
        fill(part)
    assert names(old.parent) == ["current", "mine"]
    assert link.is_symlink()
    assert (old / "model.json").read_text() == "new"
