"""The metrics are those of the model on photos it was not trained on, and on no others."""

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.pictures import encoded

from classifier import cli
from classifier.errors import DataError, StartupError
from classifier.photos import decode, fit

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", autouse=True)
def tensorflow():
    """Import here what imports TensorFlow, so that collecting the tests does not."""
    global keras, evaluate, folder
    import keras

    from classifier.evaluation.evaluate import evaluate
    from classifier.models import folder


CLASSES = ["blue", "green", "red"]
SIZE = (8, 12)  # (height, width)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """An untrained model: the softmax of a photo's average blue, green and red."""
    target = tmp_path_factory.mktemp("models") / "colours"
    target.mkdir()
    photos = keras.Input((*SIZE, 3), dtype="uint8")
    means = keras.ops.mean(keras.ops.cast(photos, "float32"), axis=(1, 2))
    scores = keras.layers.Softmax()(keras.ops.flip(means, axis=-1) / 32)
    card = folder.ModelCard(labels=CLASSES, size=SIZE, resize="stretch", threshold=0.5)
    folder.write(target, keras.Model(photos, scores), card)
    return target


@pytest.fixture
def colours(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "colours")


def by_hand(path):
    """Return the probabilities (3,) of a photo: the model in NumPy."""
    photo = fit.to_pixels(decode.read(path.read_bytes(), SIZE, "stretch"), SIZE, "stretch")
    logits = photo.mean(axis=(0, 1), dtype=float)[::-1] / 32
    return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()


def draw(target, name, count, seed=0):
    """Write photos of random hues, about which a model of colours is often wrong."""
    random = np.random.default_rng([seed, *name.encode()])
    (target / name).mkdir(parents=True)
    for i in range(count):
        pixels = random.integers(0, 40, (30, 20, 3)) + random.integers(0, 200, 3)
        (target / name / f"{i:02}.png").write_bytes(encoded(Image.fromarray(pixels.astype(np.uint8))))
    return target


@pytest.fixture
def photos(tmp_path):
    for name, count in (("blue", 9), ("green", 6), ("red", 12)):
        draw(tmp_path / "photos", name, count)
    return tmp_path / "photos"


def seen(model, **parts):
    """Record in the model folder which photos were used for what."""
    with (model / folder.SPLIT).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "class", "part", "sha256"])
        rows.writerows(
            [path.name, path.parent.name, part, folder.digest(path)] for part, paths in parts.items() for path in paths
        )


def agrees(metrics, paths):
    """Assert that the metrics are those of scikit-learn for these photos; return them."""
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss

    scores = np.stack([by_hand(path) for path in paths])
    labels = [CLASSES.index(path.parent.name) for path in paths]
    answers = scores.argmax(axis=1)
    assert metrics["photos"] == len(paths)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, answers))
    assert metrics["loss"] == pytest.approx(log_loss(labels, scores, labels=range(3)), abs=1e-4)
    assert metrics["confusion"] == confusion_matrix(labels, answers, labels=range(3)).tolist()
    assert metrics["averages"]["macro"]["f1"] == pytest.approx(
        f1_score(labels, answers, labels=np.unique(labels), average="macro", zero_division=0)
    )
    assert metrics["with_threshold"]["answered"] == pytest.approx((scores.max(axis=1) >= 0.5).mean())
    return metrics


def of(folder, pattern="*/*.png"):
    return sorted(folder.glob(pattern))


def test_the_numbers_are_those_by_hand(colours, photos):
    metrics, classes = evaluate(colours, photos)
    assert classes == CLASSES
    assert 0 < agrees(metrics, of(photos))["accuracy"] < 1
    assert metrics["baseline"] == {"class": "red", "accuracy": pytest.approx(12 / 27)}


def test_photos_that_trained_the_model_or_chose_its_best_epoch_are_left_out(colours, photos):
    paths = of(photos)
    seen(colours, train=paths[::3], validation=paths[1:6:3], test=paths[2::3])
    known = {*paths[::3], *paths[1:6:3]}
    agrees(evaluate(colours, photos)[0], [path for path in paths if path not in known])


def test_they_are_known_by_their_content_not_their_name(colours, photos):
    paths = of(photos)
    seen(colours, train=paths[:5])
    for i, path in enumerate(paths[:5]):
        path.rename(path.parent / f"new-{i}.jpg")
    paths[5].rename(paths[0])  # another photo under a name that trained
    rest = [paths[0], *paths[6:]]
    agrees(evaluate(colours, photos)[0], rest)


def test_of_divided_folders_only_the_test_part_counts(colours, tmp_path):
    for part, seed in (("train", 1), ("val", 2), ("test", 3)):
        for name in CLASSES:
            draw(tmp_path / "photos" / part, name, 4, seed)
    agrees(evaluate(colours, tmp_path / "photos")[0], of(tmp_path / "photos" / "test"))


def test_a_divided_folder_without_a_test_part_has_nothing_to_test_with(colours, tmp_path):
    for name in CLASSES:
        draw(tmp_path / "photos" / "train", name, 2)
    with pytest.raises(DataError, match="no photo to test with"):
        evaluate(colours, tmp_path / "photos")


def test_classes_go_by_their_names_not_their_places(colours, tmp_path):
    draw(tmp_path / "photos", "green", 5)
    draw(tmp_path / "photos", "red", 7)
    metrics, classes = evaluate(colours, tmp_path / "photos")
    agrees(metrics, of(tmp_path / "photos"))
    assert classes == CLASSES
    assert metrics["classes"]["blue"]["support"] == 0


def test_a_class_that_the_model_does_not_know_is_named(colours, photos):
    draw(photos, "violet", 2)
    with pytest.raises(DataError, match=r"^The model does not know the class violet; it knows blue, green, red\.$"):
        evaluate(colours, photos)


def test_an_empty_folder_of_an_unknown_class_does_no_harm(colours, photos):
    (photos / "violet").mkdir()
    agrees(evaluate(colours, photos)[0], of(photos))


def test_unreadable_photos_are_left_out(colours, photos, caplog):
    paths = of(photos)
    (photos / "blue" / "00a.jpg").write_bytes(b"no photo")
    with caplog.at_level("WARNING"):
        agrees(evaluate(colours, photos)[0], paths)
    assert "00a.jpg" in caplog.text


@pytest.mark.parametrize("why", ["unreadable", "trained"])
def test_nothing_left_to_test_with_is_one_sentence(colours, photos, why):
    if why == "trained":
        seen(colours, train=of(photos))
    for i, path in enumerate(of(photos) if why == "unreadable" else []):
        path.write_bytes(b"no photo %d" % i)
    with pytest.raises(DataError, match=r"^[^\n]* has no photo to test with[^\n]*\.$"):
        evaluate(colours, photos)


def test_a_report_is_written_where_it_is_wanted(colours, photos, tmp_path):
    metrics, _ = evaluate(colours, photos, tmp_path / "deep" / "report")
    written = {path.name for path in (tmp_path / "deep" / "report").iterdir()}
    assert {"report.html", "metrics.json", "confusion-matrix.png"} <= written
    assert "learning-curves.png" not in written
    assert json.loads((tmp_path / "deep" / "report" / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    page = (tmp_path / "deep" / "report" / "report.html").read_text()
    assert "27 of photos" in page
    assert str(tmp_path) not in page


def test_the_model_folder_stays_as_it_is(colours, photos, pristine):
    evaluate(colours, photos)
    assert {p.name: p.read_bytes() for p in colours.iterdir()} == {p.name: p.read_bytes() for p in pristine.iterdir()}


def test_a_damaged_split_is_not_taken_for_none(colours, photos):
    """Otherwise the photos that trained the model would count as untouched."""
    (colours / folder.SPLIT).write_text("path,part\n1.jpg,train\n")
    with pytest.raises(StartupError, match=r"its split\.csv is damaged"):
        evaluate(colours, photos)


@pytest.mark.parametrize("name", ["nothing-here", "vgg16"])
def test_what_is_no_model_folder_is_told_so(photos, capsys, name):
    assert cli.main(["evaluate", name, str(photos)]) == 1
    assert f"The model folder {name} cannot be used: it has no readable model.json." in capsys.readouterr().err


def test_the_command_prints_what_evaluate_found(colours, photos, capsys):
    assert cli.main(["evaluate", str(colours), str(photos), "--json"]) == 0
    agrees(json.loads(capsys.readouterr().out), of(photos))
    assert cli.main(["evaluate", str(colours), str(photos)]) == 0
    assert re.search(r"of 27 photos right \(95% interval: \d+ to \d+%;", capsys.readouterr().out)


def test_photos_of_one_class_are_measured(colours, tmp_path, capsys):
    draw(tmp_path / "photos", "green", 7)
    assert cli.main(["evaluate", str(colours), str(tmp_path / "photos"), "--json", "-o", str(tmp_path / "out")]) == 0
    metrics = agrees(json.loads(capsys.readouterr().out), of(tmp_path / "photos"))
    assert metrics["averages"]["macro"]["recall"] == pytest.approx(metrics["accuracy"])
    assert (tmp_path / "out" / "report.html").exists()


def test_the_command_takes_the_labels_of_a_table(colours, photos, tmp_path, capsys):
    flat = tmp_path / "flat"
    flat.mkdir()
    rows = [(f"{path.parent.name}-{path.name}", path) for path in of(photos)]
    for name, path in rows:
        shutil.copy(path, flat / name)
    table = "".join(f"{name},{path.parent.name}\n" for name, path in rows)
    (tmp_path / "labels.csv").write_text("filename,label\n" + table)
    command = ["evaluate", str(colours), str(flat), "--json", "--labels", str(tmp_path / "labels.csv")]
    assert cli.main(command) == 0
    agrees(json.loads(capsys.readouterr().out), of(photos))


def test_the_command_takes_the_named_parts(colours, photos, capsys):
    for name in ("blue", "green", "red"):
        (photos / "fold1" / name).mkdir(parents=True)
        for path in of(photos, f"{name}/*.png")[:3]:
            path.rename(photos / "fold1" / name / path.name)
        (photos / name).rename(photos / "fold1" / f"{name}.rest")
        (photos / "fold2").mkdir(exist_ok=True)
        (photos / "fold1" / f"{name}.rest").rename(photos / "fold2" / name)
    assert cli.main(["evaluate", str(colours), str(photos), "--json"]) == 1
    assert "--parts train=fold1,test=fold2" in capsys.readouterr().err
    assert cli.main(["evaluate", str(colours), str(photos), "--json", "--parts", "train=fold1,test=fold2"]) == 0
    agrees(json.loads(capsys.readouterr().out), of(photos / "fold2"))


def test_the_calibration_before_the_temperature_is_found_from_the_card(pristine, photos, tmp_path):
    network, card = folder.read(pristine)
    (tmp_path / "tempered").mkdir()
    folder.write(tmp_path / "tempered", network, replace(card, training={"temperature": 1.5}))
    metrics, _ = evaluate(tmp_path / "tempered", photos)
    assert metrics["calibration_without_temperature"]["error"] != metrics["calibration"]["error"]
    assert "calibration_without_temperature" not in evaluate(pristine, photos)[0]


@pytest.fixture
def knowing(colours, tmp_path):
    """The same model, which also knows pure blue, green and red as its training photos."""
    from classifier.models.familiarity import TrainingPhotos, write

    photos = keras.Input((*SIZE, 3), dtype="uint8")
    means = keras.layers.GlobalAveragePooling2D(name="features")(keras.ops.cast(photos, "float32"))
    scores = keras.layers.Softmax(name="probabilities")(keras.ops.flip(means, axis=-1) / 32)
    card = folder.ModelCard(labels=CLASSES, size=SIZE, resize="stretch", threshold=0.5)
    folder.write(colours, keras.Model(photos, scores), card)
    hues, none = np.eye(3, dtype=np.float16)[::-1], np.zeros((0, 0), np.float32)
    write(colours, TrainingPhotos(hues, np.arange(3), np.zeros((3, 32), np.uint8), none, 1, 0.5, 0.1, 0.9))
    return colours


def familiarity_by_hand(path):
    """Return the familiarity of a photo: that of the distance from the direction of its colour to the nearest hue."""
    photo = fit.to_pixels(decode.read(path.read_bytes(), SIZE, "stretch"), SIZE, "stretch")
    colour = photo.mean(axis=(0, 1), dtype=float)
    distance = np.linalg.norm(np.eye(3) - colour / np.linalg.norm(colour), axis=1).min()
    return 1 / (1 + np.exp((distance - 0.5) / 0.1))


def test_strangers_are_measured_beside_the_photos_of_the_classes(knowing, photos, tmp_path, caplog):
    strangers = draw(tmp_path / "strangers", "any", 11, seed=5)
    (strangers / "notes.txt").write_text("not a photo")
    metrics, _ = evaluate(knowing, photos, tmp_path / "report", strangers=strangers)
    own = np.array([familiarity_by_hand(path) for path in sorted(photos.rglob("*.png"))])
    theirs = np.array([familiarity_by_hand(path) for path in sorted(strangers.rglob("*.png"))])
    found = metrics["familiarity"]
    assert (found["photos"], found["strangers"]["photos"]) == (27, 11)
    assert found["refused"] == pytest.approx((own < 0.5).mean())
    assert 0 < found["strangers"]["refused"] == pytest.approx((theirs < 0.5).mean())
    pairs = [(a > b) + (a == b) / 2 for a in own for b in theirs]
    assert found["strangers"]["auroc"] == pytest.approx(np.mean(pairs), abs=1e-6)
    assert sum(found["counts"]) == 27
    assert (tmp_path / "report" / "familiarity.png").is_file()
    assert "familiarity.png" in (tmp_path / "report" / "report.html").read_text()
    assert "notes.txt" in caplog.text


def test_familiarity_is_measured_without_strangers_if_the_model_judges_it(knowing, colours, photos):
    found = evaluate(knowing, photos)[0]["familiarity"]
    assert found.keys() == {"photos", "refused", "counts"}
    (colours / "features.npz").unlink()
    assert "familiarity" not in evaluate(colours, photos)[0]


def test_strangers_need_features_and_readable_photos(knowing, photos, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no readable photo; expected photos of none of the model's classes"):
        evaluate(knowing, photos, strangers=tmp_path / "empty")
    (knowing / "features.npz").unlink()
    with pytest.raises(DataError, match=r"has no features\.npz to compare strangers with; please train it again"):
        evaluate(knowing, photos, strangers=photos)
