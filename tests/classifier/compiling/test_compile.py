"""A compiled model answers as the model it was made from, and one that does not is refused."""

import hashlib
import json
import logging
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.compiled_folders import expected_colours, write_compiled_colours
from support.model_folders import COLOURS

from classifier import cli
from classifier.compiling.comparison import Accuracy, Agreement, Differences, Pair, check
from classifier.compiling.compile import Photos, compile_model, fastest
from classifier.compiling.quantising import quantised
from classifier.errors import DataError, StartupError
from classifier.models import compiled, compiled_trial, familiarity, folder, load
from classifier.models.openvino_runtime import imported
from classifier.models.processor import features
from classifier.options import ModelOptions

pytestmark = pytest.mark.tensorflow

SIDE, EACH = 32, 30  # pixels, photos of a colour
CALIBRATION, COMPARED = 67, 23  # of them: three quarters, and the rest
VNNI = {"VNNI", "BF16"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Noise of which one channel is stronger, in a folder per colour."""
    random = np.random.default_rng(0)
    target = tmp_path_factory.mktemp("data") / "photos"
    for channel, colour in enumerate(COLOURS):
        (target / colour).mkdir(parents=True)
        for number in range(EACH):
            pixels = random.integers(0, 128, (SIDE, SIDE, 3), np.uint8)
            pixels[:, :, channel] += 96
            Image.fromarray(pixels).save(target / colour / f"{number}.png")
    return target


@pytest.fixture(scope="module")
def own(photos):
    """A model folder beside the photos it was trained on: a convolution, a mean, and a dense layer."""
    import keras

    from classifier.models.precision import with_softmax

    images = keras.Input((SIDE, SIDE, 3), dtype="uint8", name="images")
    convolution, dense = keras.layers.Conv2D(3, 3, padding="same", activation="relu"), keras.layers.Dense(3)
    means = keras.layers.GlobalAveragePooling2D(name="features")(convolution(keras.ops.cast(images, "float32")))
    network = keras.Model(images, dense(means))
    kernel = np.full((3, 3, 3, 3), 0.01)
    kernel[1, 1] += np.eye(3)
    convolution.set_weights([kernel, np.zeros(3)])
    dense.set_weights([np.eye(3) / 64, np.zeros(3)])
    path = photos.parent / "models" / "colours"
    path.mkdir(parents=True)
    about = {"threshold": 0.4, "resize": "stretch", "training": {"data": {"folder": photos.name}}}
    card = folder.ModelCard(labels=COLOURS, size=(SIDE, SIDE), **about)
    folder.write(path, with_softmax(network, "classifier"), card)
    folder.write_split(path, split_of(photos))
    familiarity.write(path, training_photos(photos))
    return path


def training_photos(photos):
    """The average colours of four training photos a colour, which are nearly the features of the network."""
    paths = [photos / colour / f"{10 + number}.png" for number in range(4) for colour in COLOURS]
    means = np.stack([np.asarray(Image.open(path)).mean(axis=(0, 1)) for path in paths])
    return familiarity.TrainingPhotos(
        features=familiarity.to_float16(means),
        labels=np.tile(np.arange(len(COLOURS)), 4),
        hashes=np.zeros((len(paths), 32), np.uint8),
        whitening=np.zeros((0, 0), np.float32),
        neighbour=2,
        threshold=0.2,
        spread=0.04,
        auroc=0.99,
    )


def split_of(photos):
    """All but the first ten photos of a colour are for the training."""
    for path in sorted(photos.rglob("*.png")):
        part = "test" if int(path.stem) < 10 else "train"
        yield folder.SplitRow(path.name, path.parent.name, part, hashlib.sha256(path.read_bytes()).hexdigest())


def options(path: Path) -> ModelOptions:
    return ModelOptions(model=str(path), device="cpu")


@pytest.fixture(scope="module")
def in_int8(own, photos, tmp_path_factory):
    """The folder and the comparison of a model in int8."""
    output = tmp_path_factory.mktemp("compiled") / "colours"
    found = compile_model(options(own), output, Photos(labelled=photos), features=VNNI)
    return output, found


def test_int8_answers_as_float32(own, in_int8):
    path, _ = in_int8
    images = np.random.default_rng(1).integers(0, 256, (9, SIDE, SIDE, 3), np.uint8)
    images[range(9), :, :, np.arange(9) % 3] //= 2
    before, after = load(options(own))(images), load(options(path))(images)
    np.testing.assert_allclose(after, before, atol=0.02)
    assert not np.array_equal(after, before)
    assert "FakeQuantize" in (path / "model.xml").read_text()


def test_it_judges_as_the_model_it_was_compiled_from(own, in_int8, photos):
    before, after = load(options(own)), load(options(in_int8[0]))
    assert after.info.judges
    seen = np.asarray(Image.open(photos / "red" / "1.png"))
    images = np.stack([seen, np.full_like(seen, 200)])  # and a grey one, which is none of the three
    (scores, found), (expected, theirs) = after.compare(images), before.compare(images)
    np.testing.assert_allclose(scores, expected, atol=0.02)
    assert [each.familiarity > 0.5 for each in found] == [True, False]
    np.testing.assert_allclose([each.familiarity for each in found], [each.familiarity for each in theirs], atol=0.05)
    assert {photo.label for photo in found[0].similar[:4]} == {"red"}
    assert not load(options(in_int8[0]).model_copy(update={"familiarity": 0})).info.judges


def test_it_explains_although_it_has_a_second_output(in_int8, photos):
    seen = np.asarray(Image.open(photos / "red" / "1.png"))
    heat = load(options(in_int8[0])).explain(seen, 0)
    assert heat.ndim == 2
    assert heat.max() == 1


def test_features_that_do_not_fit_the_network_are_refused(in_int8, tmp_path):
    path = shutil.copytree(in_int8[0], tmp_path / "colours")
    with np.load(path / "features.npz") as file:
        content = dict(file)
    np.savez(path / "features.npz", **content | {"features": content["features"][:, :2]})
    with pytest.raises(StartupError, match=r"model\.json expects .*, and the network is "):
        load(options(path))


def test_it_keeps_what_serving_and_evaluation_need(own, in_int8):
    path, _ = in_int8
    card, source = folder.read_card(path), folder.read_card(own)
    assert (card.labels, card.size, card.resize, card.threshold) == (COLOURS, (SIDE, SIDE), "stretch", 0.4)
    assert (card.training, card.metrics) == (source.training, source.metrics)
    assert folder.read_split(path) == folder.read_split(own)
    assert (card.compiled.precision, card.compiled.source) == ("int8", "colours")
    assert str(own.parent) not in (path / "model.json").read_text()


def test_the_comparison_uses_photos_that_did_not_calibrate(in_int8):
    path, found = in_int8
    assert found.agreement.photos == COMPARED
    assert found.agreement.same == 1.0
    assert 0 < found.agreement.mean <= found.agreement.largest < 0.02
    assert found.accuracy == Accuracy(COMPARED, 1.0, 1.0)  # 60 train, 7 others calibrate
    assert min(found.alone.after, found.in_batch.after, found.memory.after) > 0
    assert json.loads((path / "model.json").read_text())["compiled"]["comparison"] == found.as_dict()


def test_where_openvino_crashes_the_model_it_was_compiled_from_answers(own, in_int8, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    path = shutil.copytree(in_int8[0], tmp_path / "colours-int8")
    shutil.copytree(own, tmp_path / "colours")
    aborting = partial(compiled_trial.attempt, command=(sys.executable, "-c", "import os; os.abort()"))
    info = load(options(path), attempt=aborting).info
    assert (info.precision, info.name, info.labels) == ("float32", "colours", load(options(own)).info.labels)
    assert info.device_reason == (
        "OpenVINO cannot run colours-int8 on this processor, where a process that tried was ended by SIGABRT; colours "
        "answers in float32 instead."
    )


def test_evaluate_takes_a_compiled_folder_and_leaves_out_the_training_photos(in_int8, photos, capsys):
    assert cli.main(["evaluate", str(in_int8[0]), str(photos), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert (metrics["photos"], metrics["accuracy"]) == (30, 1.0)


def test_other_precisions_need_no_calibration(own, photos, tmp_path, capsys):
    command = ["compile", str(own), "-o", str(tmp_path / "out"), "--precision", "float32", "--photos", str(photos)]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("100.0% of 90 photos keep their first name; ")
    assert f"Serve it: CLASSIFIER_MODEL={tmp_path / 'out'}" in printed
    assert folder.read_card(tmp_path / "out").compiled.precision == "float32"


def test_classes_may_be_named_by_wordnet_ids(own, photos, tmp_path):
    known = shutil.copytree(own, tmp_path / "colours")
    card = json.loads((known / "model.json").read_text())
    (known / "model.json").write_text(json.dumps(card | {"wnids": ["n0", "n1", "n2"]}))
    named = shutil.copytree(photos, tmp_path / "photos")
    for number, colour in enumerate(COLOURS):
        (named / colour).rename(named / f"n{number}")
    found = compile_model(options(known), tmp_path / "out", Photos(labelled=named), "float32")
    assert found.accuracy == Accuracy(30, 1.0, 1.0)
    assert found.agreement.mean < 1e-4
    assert [label.wnid for label in load(options(tmp_path / "out")).info.labels] == ["n0", "n1", "n2"]


@pytest.mark.parametrize(
    ("has", "precision"),
    [({"VNNI", "BF16"}, "int8"), ({"BF16"}, "bfloat16"), ({"AMX"}, "bfloat16"), (set(), "float32")],
)
def test_the_default_is_what_the_processor_runs_natively(has, precision):
    assert fastest(has) == precision


def test_the_instructions_of_a_processor_are_known(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx512_vnni amx_tile\n")
    assert features(tmp_path / "cpuinfo") == {"VNNI", "AMX"}
    assert features(tmp_path / "nothing") is None


def test_without_vnni_the_weights_get_7_bits(own, photos, in_int8, tmp_path, caplog):
    compile_model(options(own), tmp_path / "narrow", Photos(photos), "int8", features=set())
    assert "This processor has no VNNI, so sums of 8-bit products would overflow" in caplog.text
    widest = [np.abs(int8_weights(path)).max() for path in (tmp_path / "narrow", in_int8[0])]
    assert widest == [63, 127]


def int8_weights(path: Path) -> np.ndarray:
    """Return all weights in a `model.bin` that are of type i8, by the graph's own description."""
    from classifier.models.openvino_runtime import imported

    constants = imported().Core().read_model(path / "model.xml").get_ordered_ops()
    found = [op.data.ravel() for op in constants if op.get_type_name() == "Constant" and op.data.dtype == np.int8]
    return np.concatenate(found).astype(int)


def test_a_processor_without_bfloat16_is_reported(own, photos, tmp_path, caplog):
    compile_model(options(own), tmp_path / "out", Photos(photos), "bfloat16", features={"VNNI"})
    assert "neither AVX-512 BF16 nor AMX, so it computes the folder in float32" in caplog.text


def mobile_network(channels_of_a_filter: int):
    """Return two blocks of a MobileNet with a sum around the second; each convolution has the name of its purpose."""
    ops, random = imported().opset15, np.random.default_rng(0)

    def convolution(values, name, *shape):
        kind = ops.group_convolution if len(shape) == 5 else ops.convolution
        found = kind(values, random.normal(size=shape).astype(np.float32), [1, 1], [1, 1], [1, 1], [1, 1])
        found.set_friendly_name(name)
        return found

    filters = (4 // channels_of_a_filter, channels_of_a_filter, channels_of_a_filter, 3, 3)
    images = ops.parameter([-1, 8, 8, 3], np.uint8, name="images")
    stem = convolution(ops.transpose(ops.convert(images, "f32"), [0, 3, 1, 2]), "stem", 4, 3, 3, 3)
    block = convolution(convolution(ops.relu(stem), "first filters", *filters), "first pointwise", 4, 4, 3, 3)
    wide = ops.relu(convolution(block, "expansion", 4, 4, 3, 3))
    narrow = convolution(convolution(wide, "second filters", *filters), "second pointwise", 4, 4, 3, 3)
    return imported().Model([ops.reduce_mean(ops.add(block, narrow), [2, 3])], [images])


@pytest.mark.parametrize(("channels", "in_float32"), [(1, ["stem", "first filters", "first pointwise"]), (2, [])])
def test_the_first_block_of_a_network_with_depthwise_convolutions_stays_in_float32(channels, in_float32):
    images = np.random.default_rng(1).integers(0, 256, (8, 8, 8, 3), np.uint8)
    operations = quantised(mobile_network(channels), images, has_vnni=True).get_ordered_ops()
    layers = [each for each in operations if "Convolution" in each.get_type_name()]
    assert len(layers) == 6
    assert [each.get_friendly_name() for each in layers if inputs(each)[1] == "Constant"] == in_float32
    (branches,) = [each for each in operations if each.get_type_name() == "Add" and "Constant" not in inputs(each)]
    assert ("FakeQuantize" in inputs(branches)) == (channels == 2)


def inputs(operation) -> list[str]:
    return [value.get_node().get_type_name() for value in operation.input_values()]


def comparison(same: float = 1.0, accuracy: Accuracy | None = None) -> Differences:
    nothing = Pair(None, None)
    return Differences(Agreement(1000, same, 0.0, 0.0), accuracy, nothing, nothing, nothing)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (comparison(0.969), "in int8, 96.9% of 1,000 photos keep their first name, where at least 97% must; "),
        (comparison(1.0, Accuracy(200, 0.9, 0.89)), "accuracy falls from 90.0% to 89.0%, by more than 0.5 points; "),
    ],
)
def test_a_model_that_answers_differently_is_refused(found, reason):
    with pytest.raises(DataError) as raised:
        check(found, "int8")
    assert reason in str(raised.value)
    assert "--force" in str(raised.value)


def test_a_model_that_answers_nearly_the_same_is_accepted():
    check(comparison(0.97, Accuracy(200, 0.9, 0.895)), "int8")


def test_agreement_is_what_numpy_computes():
    before = np.array([[0.6, 0.4], [0.5, 0.5], [0.1, 0.9], [0.3, 0.7]], np.float32)
    after = np.array([[0.5, 0.5], [0.4, 0.6], [0.1, 0.9], [0.3, 0.7]], np.float32)
    found = Agreement.between(before, after)
    assert (found.photos, found.same) == (4, 0.75)
    assert (found.mean, found.largest) == (pytest.approx(0.05), pytest.approx(0.1))


def refused(arguments: list[str], capsys) -> str:
    assert cli.main(["compile", *arguments]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Cannot compile: ")]
    return line


def test_too_few_photos(own, photos, tmp_path, capsys):
    few = photos / "red"
    line = refused([str(own), "-o", str(tmp_path / "out"), "--precision", "int8", "--photos", str(few)], capsys)
    assert "expected at least 80 different ones (64 to calibrate with and 16 to compare on), found 30" in line
    assert not (tmp_path / "out").exists()


def test_no_photos(own, tmp_path, capsys):
    alone = shutil.copytree(own, tmp_path / "alone" / "deep" / "colours")
    line = refused([str(alone), "-o", str(tmp_path / "out"), "--precision", "int8"], capsys)
    assert "int8 needs photos to calibrate with and to compare on" in line
    assert line.endswith("--photos DIR.")


def test_only_a_compiled_folder_in_float32_is_compiled_again(in_int8, photos, tmp_path, capsys):
    assert "is compiled in int8 already" in refused([str(in_int8[0]), "-o", str(tmp_path / "out")], capsys)
    source, output = write_compiled_colours(tmp_path / "colours", threshold=0.4), tmp_path / "out"
    found = compile_model(options(source), output, Photos(photos), "bfloat16")
    assert (found.agreement.photos, found.agreement.same) == (3 * EACH, 1.0)
    card = folder.read_card(output)
    assert (card.labels, card.threshold, card.compiled.precision) == (COLOURS, 0.4, "bfloat16")
    images = np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    np.testing.assert_allclose(compiled.read(output)(images), expected_colours(images), atol=0.02)


def test_a_folder_of_something_else_is_left_alone(own, photos, tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    line = refused([str(own), "-o", str(tmp_path), "--precision", "float32", "--photos", str(photos)], capsys)
    assert "exists and is not a model folder; it is left alone" in line


def test_custom_gradients_are_not_exported():
    """Swish has one, and EfficientNet has 49 layers with it."""
    import keras

    from classifier.compiling.export import exported

    images = keras.Input((8, 8, 3), dtype="uint8")
    features = keras.layers.Conv2D(2, 3, activation="swish")(keras.ops.cast(images, "float32"))
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(features))
    assert [str(port.partial_shape) for port in exported(keras.Model(images, outputs)).outputs] == ["[?,2]"]


def test_a_network_that_openvino_cannot_convert_is_one_sentence_and_the_log_stays():
    from classifier.compiling.export import exported

    class Stranger:
        name = "stranger"
        input_shape = (None, 8, 8, 3)

        def __call__(self, images, training):
            import tensorflow as tf

            return tf.numpy_function(lambda values: values, [images], tf.uint8)

    with pytest.raises(StartupError, match=r"^OpenVINO cannot convert the network stranger \("):
        exported(Stranger())
    assert logging.getLogger("classifier").isEnabledFor(logging.WARNING)
