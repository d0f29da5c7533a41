"""An imported model gives the same answers as the original, or it is refused with a one-line reason."""

import json

import numpy as np
import pytest
from support.loading import load
from support.messages import one_line

from classifier.errors import StartupError
from classifier.models.foreign import Normalisation

pytestmark = pytest.mark.tensorflow

SIDE = 32
PIXELS = np.random.default_rng(3).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
FORMATS = ["keras", "h5"]

SCALED = {
    "0..255": lambda pixels: pixels,
    "0..1": lambda pixels: pixels / 255,
    "-1..1": lambda pixels: pixels / 127.5 - 1,
    "vgg16": lambda pixels: pixels[..., ::-1] - np.array([103.939, 116.779, 123.68]),
}


def base(name="base"):
    from keras import Input, Model, layers, utils

    utils.set_random_seed(0)  # some initial values answer almost alike whatever they are shown
    pixels = Input((SIDE, SIDE, 3))
    x = layers.BatchNormalization(name=f"{name}_norm")(layers.Conv2D(4, 3, activation="relu", name="conv")(pixels))
    return Model(pixels, layers.GlobalAveragePooling2D(name="features")(x), name=name)


def functional(units=3, activation="softmax", channels=3, **arguments):
    """Return a nested network, called as in Keras' guide to transfer learning."""
    from keras import Input, Model, layers

    inputs = Input((SIDE, SIDE, channels))
    x = layers.RandomFlip("horizontal")(inputs)
    x = layers.Concatenate()([x] * 3) if channels == 1 else x
    x = layers.Dropout(0.5)(base()(x, training=False))
    return Model(inputs, layers.Dense(units, activation=activation, **arguments)(x))


def sequential(units=3):
    from keras import Input, Sequential, layers

    augmentation = Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)], name="augmentation")
    head = layers.Dense(units, activation="softmax")
    return Sequential([Input((SIDE, SIDE, 3)), augmentation, layers.Rescaling(1 / 255), base(), head])


@pytest.fixture
def imported(tmp_path, labels):
    """Save a network, import it and load the folder; returns (Model, ModelCard)."""

    def do(network, count=3, format="keras", **options):
        from classifier.models.importing import import_model

        network.save(tmp_path / f"theirs.{format}")
        card = import_model(tmp_path / f"theirs.{format}", labels(count), tmp_path / "ours", **options)
        return load(tmp_path / "ours"), card

    return do


@pytest.fixture
def refused(tmp_path, labels):
    """Return the message for a network, or a file, that cannot be imported; nothing may be written."""

    def do(source, count=3, format="keras", scale="0..255", names=None, logits=False):
        from classifier.models.importing import import_model

        if hasattr(source, "save"):
            path = tmp_path / f"theirs.{format}"
            source.save(path)
        else:
            path = source
        with pytest.raises(StartupError) as raised:
            import_model(path, names or labels(count), tmp_path / "ours", scale, logits=logits)
        assert not (tmp_path / "ours").exists()
        assert not list(tmp_path.glob(".ours*"))
        return one_line(raised.value)

    return do


def by_hand(network, scale="0..255"):
    return np.asarray(network(SCALED[scale](PIXELS.astype("float32")).astype("float32"), training=False))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", [pytest.param(functional, marks=pytest.mark.every_backend), sequential])
def test_the_answers_are_the_original_ones(imported, kind, format):
    network = kind()
    ours, card = imported(network, format=format)
    expected = by_hand(network)
    assert np.ptp(expected) > 0.01  # not uniform
    np.testing.assert_allclose(ours(PIXELS), expected, atol=1e-5)
    assert [label.name for label in ours.info.labels] == card.labels == ["class 0", "class 1", "class 2"]
    assert (ours.info.size, ours.info.resize, ours.info.threshold) == ((SIDE, SIDE), "stretch", 0.0)


@pytest.mark.parametrize("scale", SCALED)
def test_pixels_are_scaled_as_they_were_in_training(imported, scale):
    network = functional()
    ours, card = imported(network, scale=scale)
    np.testing.assert_allclose(ours(PIXELS), by_hand(network, scale), atol=1e-5)
    assert card.training["scale"] == scale


COLOURS = Normalisation((0.5, 0.4, 0.3), (0.25,))


def test_pixels_may_be_normalised_as_torchvision_does(imported):
    network = functional()
    pixels = (PIXELS / 255 - np.array([0.5, 0.4, 0.3])) / 0.25
    expected = np.asarray(network(pixels.astype("float32"), training=False))
    np.testing.assert_allclose(imported(network, scale=COLOURS)[0](PIXELS), expected, atol=1e-5)


def test_greys_have_no_mean_for_each_colour(refused):
    assert "must be one number each for 1 channel" in refused(functional(channels=1), scale=COLOURS)


@pytest.mark.parametrize("kind", [functional, sequential])
def test_networks_within_the_network_become_flat(imported, tmp_path, kind):
    import keras

    from classifier.models import folder

    imported(kind())
    network, _ = folder.read(tmp_path / "ours")
    assert not [layer.name for layer in network.layers if isinstance(layer, keras.Model)]
    assert "conv" in [layer.name for layer in network.layers]


def test_two_networks_with_the_same_names_within_stay_two(imported):
    from keras import Input, Model, layers

    inputs = Input((SIDE, SIDE, 3))
    both = layers.Concatenate()([base("one")(inputs), base("two")(inputs)])
    network = Model(inputs, layers.Dense(3, activation="softmax")(both))
    np.testing.assert_allclose(imported(network)[0](PIXELS), by_hand(network), atol=1e-5)


@pytest.mark.parametrize("name", ["probabilities", "images", "cast"])
def test_their_names_may_be_ours(imported, name):
    network = functional(name=name)
    np.testing.assert_allclose(imported(network)[0](PIXELS), by_hand(network), atol=1e-5)


def test_a_folder_of_ours_can_be_imported(imported, tmp_path):
    from support.model_folders import colours

    network = colours()
    np.testing.assert_allclose(imported(network)[0](PIXELS), np.asarray(network(PIXELS)), atol=1e-5)


@pytest.mark.parametrize("format", FORMATS)
def test_one_sigmoid_output_becomes_two_classes_the_second_is_its_own(imported, format):
    network = functional(1, "sigmoid")
    ours, card = imported(network, 2, format)
    expected = by_hand(network)
    np.testing.assert_allclose(ours(PIXELS), np.concatenate([1 - expected, expected], axis=1), atol=1e-5)
    assert len(card.labels) == 2


@pytest.mark.every_backend
def test_one_channel_is_given_greyscale(imported):
    network = functional(channels=1)
    ours, card = imported(network, scale="0..1")
    grey = (PIXELS @ np.array([0.2989, 0.587, 0.114]))[..., np.newaxis] / 255
    np.testing.assert_allclose(ours(PIXELS), np.asarray(network(grey.astype("float32"), training=False)), atol=1e-5)
    assert card.color_mode == "grayscale"


@pytest.mark.every_backend
def test_an_imported_model_runs_in_reduced_precision(imported, tmp_path):
    full, _ = imported(functional())
    low = load(tmp_path / "ours", precision="bfloat16")
    assert low.info.precision == "bfloat16"
    np.testing.assert_allclose(low(PIXELS), full(PIXELS), atol=0.05)


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_labels(refused, count):
    assert f"expected an output for each of the {count} labels, found output (None, 3)" in refused(functional(), count)


def exponential_shares(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("options", [{}, {"logits": True}])
def test_a_linear_last_layer_gets_its_softmax(imported, caplog, options):
    caplog.set_level("INFO")
    network = functional(3, None)
    ours, _ = imported(network, **options)
    np.testing.assert_allclose(ours(PIXELS), exponential_shares(by_hand(network)), atol=1e-6)
    assert "is linear and gives logits: a softmax was added" in caplog.text


def test_a_single_linear_unit_gets_its_sigmoid(imported, caplog):
    """A single logit may look like a probability; only its layer gives it away."""
    caplog.set_level("INFO")
    network = functional(1, None, kernel_initializer="zeros")
    network.layers[-1].bias.assign([0.4])
    ours, _ = imported(network, 2)
    np.testing.assert_allclose(ours(PIXELS), [[1 - 1 / (1 + np.exp(-0.4)), 1 / (1 + np.exp(-0.4))]] * 4, atol=1e-6)
    assert "a sigmoid was added" in caplog.text


def test_a_linear_layer_before_layers_that_pass_on(imported):
    from keras import Input, Sequential, layers

    network = Sequential(
        [Input((SIDE, SIDE, 3)), layers.Conv2D(3, SIDE), layers.Flatten(), layers.Activation("linear")]
    )
    ours, _ = imported(network, scale="0..1")
    np.testing.assert_allclose(ours(PIXELS), exponential_shares(by_hand(network, "0..1")), atol=1e-5)


def test_other_outputs_are_logits_if_that_is_said(imported, refused):
    network = functional(3, "softplus")
    assert "or logits, which --logits declares" in refused(network)
    ours, _ = imported(network, logits=True)
    np.testing.assert_allclose(ours(PIXELS), exponential_shares(by_hand(network)), atol=1e-6)


def test_probabilities_are_no_logits(refused):
    assert "please leave --logits out" in refused(functional(), logits=True)


def test_probabilities_of_several_answers_at_once(refused):
    assert "expected probabilities, which add up to 1" in refused(functional(3, "sigmoid"))


@pytest.mark.parametrize("shape", [(SIDE,), (None, None, 3), (SIDE, SIDE, 4), (4, SIDE, SIDE, 3)])
def test_an_input_that_is_no_picture_of_a_fixed_size(refused, shape):
    from keras import Input, Model, layers

    inputs = Input(shape)
    pooled = layers.GlobalAveragePooling2D()(inputs) if None in shape else layers.Flatten()(inputs)
    message = refused(Model(inputs, layers.Dense(3, activation="softmax")(pooled)))
    assert f"found input (None, {', '.join(map(str, shape))}" in message


def test_two_inputs_two_outputs_or_none_yet(refused):
    from keras import Input, Model, Sequential, layers

    one, two = Input((SIDE, SIDE, 3)), Input((SIDE, SIDE, 3))
    head = layers.Dense(3, activation="softmax")
    assert "expected one picture as its input" in refused(Model([one, two], head(layers.Flatten()(one + two))))
    flat = layers.Flatten()(one)
    outputs = [head(flat), layers.Dense(1)(flat)]
    assert "expected an output for each of the 3 labels" in refused(Model(one, outputs))
    with pytest.warns(UserWarning, match="not yet been built"):
        assert "found input None" in refused(Sequential([layers.Flatten(), layers.Dense(3)]))


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.pb", "lambda.keras", "safe_mode.h5"])
def test_a_file_that_is_no_model(refused, tmp_path, name):
    (tmp_path / name).write_text("weights, say")
    message = refused(tmp_path / name)
    assert f"The model {tmp_path / name} cannot be imported: expected a whole saved model" in message
    assert "found another or a damaged file" in message


def test_a_whole_file_of_weights_is_no_model(refused, tmp_path):
    functional().save_weights(tmp_path / "theirs.weights.h5")
    assert "found a file of weights without the layers" in refused(tmp_path / "theirs.weights.h5")


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_no_file(refused, tmp_path, name):
    assert refused(tmp_path / name) == (
        f"The model {tmp_path / name} is not a file; expected a whole saved model of Keras, .keras or .h5, or a "
        "SavedModel folder of Keras 2."
    )


def test_a_folder_without_a_model(refused, tmp_path):
    assert f"The folder {tmp_path} holds no SavedModel" in refused(tmp_path)


def written(tmp_path, how):
    """Return a network with a hidden Python function that creates a file."""
    from keras import Input, Model, layers

    spy = lambda x, path=str(tmp_path / "ran"): __import__("pathlib").Path(path).touch() or x * 1.0  # noqa: E731
    inputs = Input((SIDE, SIDE, 3))
    layer = layers.Lambda(spy, output_shape=(SIDE, SIDE, 3)) if how != "activation" else layers.Dense(3, activation=spy)
    x = Model(inputs, layer(inputs))(inputs) if how == "nested" else layer(inputs)
    return Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("how", ["lambda", "nested", "activation"])
@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")
def test_python_code_in_a_model_is_never_run(refused, tmp_path, how, format):
    network = written(tmp_path, how)
    network(np.zeros((1, SIDE, SIDE, 3)))
    assert (tmp_path / "ran").exists()  # it would tell
    network.save(tmp_path / f"spy.{format}")
    (tmp_path / "ran").unlink()
    message = refused(tmp_path / f"spy.{format}")
    assert not (tmp_path / "ran").exists()
    if how != "activation":
        assert "is refused: it holds Python code of its own, such as a Lambda layer" in message


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")
def test_python_code_in_a_model_folder_is_never_run(tmp_path):
    from classifier.models import folder

    (tmp_path / "ours").mkdir()
    folder.write(
        tmp_path / "ours", written(tmp_path, "lambda"), folder.ModelCard(labels=["a", "b", "c"], size=(SIDE, SIDE))
    )
    (tmp_path / "ran").unlink(missing_ok=True)
    with pytest.raises(StartupError, match="holds Python code of its own"):
        load(tmp_path / "ours")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_a_layer_that_only_its_author_has(refused, tmp_path, format):
    import keras

    @keras.saving.register_keras_serializable("theirs")
    class Odd(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    inputs = keras.Input((SIDE, SIDE, 3))
    network = keras.Model(inputs, functional()(Odd()(inputs)))
    network.save(tmp_path / f"odd.{format}")
    keras.saving.get_custom_objects().pop("theirs>Odd")
    message = refused(tmp_path / f"odd.{format}")
    assert f"(written by Keras {keras.__version__}) cannot be imported: its layer 'odd" in message
    assert "Odd)" in message
    assert "please replace that layer" in message


def test_labels_of_a_class_index(tmp_path):
    from classifier.models.importing import import_model

    sequential(2).save(tmp_path / "theirs.keras")
    (tmp_path / "index.json").write_text(json.dumps({"0": ["n0", "cat"], "1": ["n1", "dog"]}))
    card = import_model(tmp_path / "theirs.keras", tmp_path / "index.json", tmp_path / "ours")
    assert card.labels == ["cat", "dog"]


@pytest.mark.parametrize("scale", ["0-1", "255", "vgg"])
def test_a_scale_that_is_not_known(refused, scale):
    expected = "expected 0..255, 0..1, -1..1 or the name of a keras.applications model"
    assert f"The scale {scale!r} cannot be used: {expected}" in refused(sequential(), scale=scale)


def test_a_scale_for_colours_and_a_model_without(refused):
    assert "The scale vgg16 is for colours" in refused(functional(channels=1), scale="vgg16")


def test_a_folder_of_something_else_is_left_alone(tmp_path, labels):
    from classifier.models.importing import import_model

    sequential().save(tmp_path / "theirs.keras")
    with pytest.raises(StartupError, match="left alone"):
        import_model(tmp_path / "theirs.keras", labels(3), tmp_path)
    assert (tmp_path / "theirs.keras").exists()
