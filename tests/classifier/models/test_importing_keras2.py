"""Models that Keras 2 saved are rebuilt in Keras 3 and give the same answers; its files are written here by hand."""

import json
import zipfile
from io import BytesIO

import h5py
import numpy as np
import pytest

from classifier.errors import StartupError

pytestmark = pytest.mark.tensorflow

SIDE = 16
RANDOM = np.random.default_rng(5)
PIXELS = RANDOM.uniform(0, 255, (2, SIDE, SIDE, 3)).astype("float32")
STATE = RANDOM.bit_generator.state
PICTURE = {"name": "pictures", "batch_input_shape": [None, SIDE, SIDE, 3], "dtype": "float32"}


@pytest.fixture(autouse=True)
def same_weights_in_any_order_of_the_tests():
    RANDOM.bit_generator.state = STATE


def layer(kind, name, *inbound, **config):
    """A layer's configuration; each of `inbound` is a call: the names of layers, or a node as Keras 2 writes it."""
    nodes = [[[name, 0, 0, {}] for name in call] if isinstance(call, tuple) else call for call in inbound]
    config = {"name": name, "trainable": True, "dtype": "float32", **config}
    return {"class_name": kind, "name": name, "config": config, "inbound_nodes": nodes}


def functional(name, *layers, input="pictures"):
    picture = {"class_name": "InputLayer", "name": input, "config": PICTURE | {"name": input}, "inbound_nodes": []}
    ends = {"input_layers": [[input, 0, 0]], "output_layers": [[layers[-1]["name"], 0, 0]]}
    return {"class_name": "Functional", "name": name, "config": {"name": name, "layers": [picture, *layers], **ends}}


def sequential(name, *layers, **first):
    if first:
        layers[0]["config"].update(first)
    return {"class_name": "Sequential", "name": name, "config": {"name": name, "layers": list(layers)}}


def node(source, call=0, **options):
    return [source, call, 0, options]


def write_h5(path, config, weights, version="2.4.0"):
    """Write {(outermost layer, layer): {variable: array}} as Keras 2 did."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"keras_version": version, "backend": "tensorflow", "model_config": json.dumps(config)})
        for (outer, name), arrays in weights.items():
            for variable, array in arrays.items():
                file[f"model_weights/{outer}/{name}/{variable}:0"] = array
    return path


def write_keras(path, config, arrays, version="2.15.0"):
    """Write {path within model.weights.h5: array} as TensorFlow 2.13 to 2.15 did."""
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_group("layers")
        for name, array in arrays.items():
            file[name] = array
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("model.weights.h5", buffer.getvalue())
    return path


def answers(path):
    from classifier.models import saved

    network = saved.read(path).network
    return np.asarray(network(PIXELS, training=False)), network


def refusal(path):
    from classifier.models import saved

    with pytest.raises(StartupError) as raised:
        saved.read(path)
    message = str(raised.value)
    assert message.startswith(f"The model {path}")
    assert message.endswith(".")
    assert "\n" not in message
    return message


def array(*shape):
    return RANDOM.normal(0, 0.3, shape).astype("float32")


def norm(count):
    """The weights of a batch normalisation, and what it computes."""
    weights = {name: RANDOM.uniform(0.5, 1.5, count).astype("float32") for name in ("gamma", "beta")}
    weights |= {f"moving_{name}": RANDOM.uniform(0.5, 1.5, count).astype("float32") for name in ("mean", "variance")}

    def compute(x):
        scaled = (x - weights["moving_mean"]) / np.sqrt(weights["moving_variance"] + 1e-3)
        return scaled * weights["gamma"] + weights["beta"]

    return weights, compute


def softmax(x):
    exponents = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def pooled(x, weights):
    return softmax(x.mean(axis=(1, 2)) @ weights["kernel"] + weights["bias"])


def head(units=2, channels=3):
    layers = [layer("GlobalAveragePooling2D", "pool", ("last",)), layer("Dense", "answer", ("pool",))]
    layers[1]["config"].update(units=units, activation="softmax", kernel_initializer={"class_name": "GlorotUniform"})
    return layers, {"kernel": array(channels, units), "bias": array(units)}


def same(path, expected):
    """Check the answers of the rebuilt network, and those after it was saved for a model folder."""
    import keras

    found, network = answers(path)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    network.save(path.with_name("again.keras"))
    again = keras.saving.load_model(path.with_name("again.keras"), compile=False)
    np.testing.assert_allclose(again(PIXELS, training=False), expected, atol=1e-6)
    assert np.ptp(expected) > 0.01
    return network


def test_arguments_that_keras_3_dropped(tmp_path):
    layers, weights = head()
    config = sequential(
        "all",
        layer("RandomFlip", "flip", rng_type="stateful", mode="horizontal", seed=None),
        layer("Rescaling", "scale", scale=1 / 255, offset=[0.0, 0.1, 0.2]),
        layer("DepthwiseConv2D", "last", kernel_size=[1, 1], groups=1, depthwise_initializer={"class_name": "X"}),
        *layers,
        batch_input_shape=[None, SIDE, SIDE, 3],
    )
    kernel = {"depthwise_kernel": array(1, 1, 3, 1), "bias": array(3)}
    path = write_h5(tmp_path / "m.h5", config, {("last", "last"): kernel, ("answer", "answer"): weights})
    scaled = PIXELS / 255 + np.array([0, 0.1, 0.2])
    same(path, pooled(scaled * kernel["depthwise_kernel"][..., 0] + kernel["bias"], weights))


OPERATIONS = {
    "scaled": ([("math.truediv", node("pictures", y=127.5, name=None)), ("math.subtract", node("o0", y=1.0))], 3,
               lambda x: x / 127.5 - 1),
    "means": ([("nn.bias_add", node("pictures", bias=[-103.9, -116.8, -123.7], data_format="NHWC"))], 3,
              lambda x: x - [103.9, 116.8, 123.7]),
    "deviations": ([("math.truediv", node("pictures", y=[58.4, 57.1, 57.4]))], 3, lambda x: x / [58.4, 57.1, 57.4]),
    "constant first": ([("math.subtract", ["_CONSTANT_VALUE", -1, 255.0, {"y": ["pictures", 0, 0]}])], 3,
                       lambda x: 255 - x),
    "two tensors": ([("__operators__.add", node("pictures", y=["pictures", 0, 0]))], 3, lambda x: 2 * x),
    "a list": ([("concat", [node("pictures", axis=-1), node("pictures", axis=-1)])], 6,
               lambda x: np.concatenate([x, x], -1)),
    "cast": ([("cast", node("pictures", dtype="float32"))], 3, lambda x: x),
}  # fmt: skip


def test_a_sequence_of_keras_2_2_whose_names_tensorflow_1_numbered(tmp_path):
    layers, weights = head()
    conv = layer("Conv2D", "last", filters=3, kernel_size=[1, 1], batch_input_shape=[1, SIDE, SIDE, 3])
    normed = layer("BatchNormalization", "n", axis=3, epsilon=0.001, momentum=0.9, beta_constraint=None)
    config = {"class_name": "Sequential", "config": [conv, normed, *layers]}
    for found in config["config"]:
        found.pop("name")
    kernel, (norms, normalised) = {"kernel": array(1, 1, 3, 3), "bias": array(3)}, norm(3)
    weights["kernel"] /= 100
    stored = {("last", "last_1"): kernel, ("n", "n_1"): norms, ("answer", "answer_1"): weights}
    path = write_h5(tmp_path / "m.h5", config, stored, "2.2.4")
    same(path, pooled(normalised(PIXELS @ kernel["kernel"][0, 0] + kernel["bias"]), weights))


@pytest.mark.parametrize("name", OPERATIONS)
def test_functions_of_tensorflow(tmp_path, name):
    functions, channels, by_hand = OPERATIONS[name]
    names = [*(f"o{number}" for number in range(len(functions) - 1)), "last"]
    made = [
        layer("TFOpLambda", own, call, function=function)
        for own, (function, call) in zip(names, functions, strict=True)
    ]
    layers, weights = head(channels=channels)
    weights["kernel"] /= 100
    path = write_h5(tmp_path / "m.h5", functional("all", *made, *layers), {("answer", "answer"): weights})
    same(path, pooled(by_hand(PIXELS.astype("float64")), weights))


@pytest.mark.parametrize(
    ("operation", "constants", "by_hand"),
    [("RealDiv", {"1": 127.5}, lambda x: x / 127.5), ("Sub", {"0": 255.0}, lambda x: 255 - x)],
)
def test_operations_of_tensorflow_2_0_to_2_3(tmp_path, operation, constants, by_hand):
    layers, weights = head()
    weights["kernel"] /= 100
    node_def = json.dumps({"name": "last", "op": operation, "input": ["pictures", "last/y"]})
    last = layer("TensorFlowOpLayer", "last", ("pictures",), node_def=node_def, constants=constants)
    path = write_h5(tmp_path / "m.h5", functional("all", last, *layers), {("answer", "answer"): weights}, "2.3.0-tf")
    same(path, pooled(by_hand(PIXELS.astype("float64")), weights))


def test_reversed_colours(tmp_path):
    layers, weights = head()
    weights["kernel"] /= 100
    spec = [{"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}]
    bgr = layer("SlicingOpLambda", "last", node("pictures", slice_spec=spec), function="__operators__.getitem")
    path = write_h5(tmp_path / "m.h5", functional("all", bgr, *layers), {("answer", "answer"): weights})
    same(path, pooled(PIXELS[..., ::-1], weights))


def nested():
    """Two networks of the same layers' names, one of them called twice; what they compute, and their weights."""
    frozen = {"trainable": False}

    def network(name):
        scale = layer("Rescaling", "scale", ("inner",), scale=1 / 255)
        normed = layer("BatchNormalization", "n", ("scale",), axis=[3], epsilon=0.001, **frozen)
        conv = layer("Conv2D", "c", ("n",), filters=2, kernel_size=[1, 1], activation="relu")
        second = layer("BatchNormalization", "second", ("c",), axis=[3])
        return functional(name, scale, normed, conv, second, input="inner")

    one, two = network("one"), network("two")
    one["inbound_nodes"] = [[node("pictures")], [node("negative")]]
    two["inbound_nodes"] = [[node("pictures")]]
    negative = layer("TFOpLambda", "negative", ["_CONSTANT_VALUE", -1, 255.0, {"y": ["pictures", 0, 0]}],
                     function="math.subtract")  # fmt: skip
    both = layer("Concatenate", "last", [node("one", 1), node("two", 1), node("one", 2)], axis=-1)
    layers, weights = head(channels=6)
    stored, computed = {("answer", "answer"): weights}, {}
    for name in ("one", "two"):
        (first, before), (second, after), kernel = norm(3), norm(2), {"kernel": array(1, 1, 3, 2), "bias": array(2)}
        stored |= {(name, "n"): first, (name, "c"): kernel, (name, "second"): second}
        computed[name] = lambda x, before=before, after=after, kernel=kernel: after(
            np.maximum(before(x / 255) @ kernel["kernel"][0, 0] + kernel["bias"], 0)
        )
    features = [computed["one"](PIXELS), computed["two"](PIXELS), computed["one"](255 - PIXELS)]
    config = functional("all", negative, one, two, both, *layers)
    return config, stored, pooled(np.concatenate(features, -1), weights)


def test_networks_within_the_network_are_filled_by_name_and_become_flat(tmp_path):
    import keras

    config, stored, expected = nested()
    network = same(write_h5(tmp_path / "m.h5", config, stored), expected)
    assert not [found.name for found in network.layers if isinstance(found, keras.Model)]
    assert {"c", "two_c"} <= {found.name for found in network.layers}


def order(name):
    return ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance").index(name)


def test_a_keras_file_of_tensorflow_2_13_to_2_15(tmp_path):
    config, stored, expected = nested()
    outer = {"one": "layers/functional/layers", "two": "layers/functional_1/layers", "answer": "layers"}
    inner = {"n": "batch_normalization", "c": "conv2d", "second": "batch_normalization_1", "answer": "dense"}
    arrays = {
        f"{outer[network]}/{inner[name]}/vars/{number}": weights[variable]
        for (network, name), weights in stored.items()
        for number, variable in enumerate(sorted(weights, key=order))
    }
    same(write_keras(tmp_path / "m.keras", config, arrays), expected)


def test_a_saved_model_folder(tmp_path):
    """The layers of a SavedModel are in Keras' own file beside the graph, its weights in a checkpoint."""
    import tensorflow as tf
    from tensorflow.python.keras.protobuf.saved_metadata_pb2 import SavedMetadata

    config, stored, expected = nested()

    def module(members):
        made = tf.Module()
        for number, member in enumerate(members):
            inner = member["config"].get("layers")
            setattr(made, f"layer-{number}", module([{**item, "of": member["name"]} for item in inner]) if inner else
                    weighted(member))  # fmt: skip
        return made

    def weighted(member):
        made = tf.Module()
        name = member["name"]
        for variable, values in stored.get((member.get("of", name), name), {}).items():
            setattr(made, variable, tf.Variable(values, name=f"{name}/{variable}"))
        return made

    tf.saved_model.save(module(config["config"]["layers"]), str(tmp_path / "m"))
    description = json.dumps({"keras_version": "2.11.0", **config})
    metadata = SavedMetadata(nodes=[{"node_id": 0, "identifier": "_tf_keras_network", "metadata": description}])
    (tmp_path / "m" / "keras_metadata.pb").write_bytes(metadata.SerializeToString())
    same(tmp_path / "m", expected)
    (tmp_path / "m" / "keras_metadata.pb").unlink()
    assert "found a SavedModel without the layers of Keras 2" in refusal(tmp_path / "m")


def test_the_layer_scale_of_convnext(tmp_path):
    layers, weights = head()
    scale = layer("LayerScale", "last", ("pictures",), init_values=1e-6, projection_dim=3)
    gamma = array(3)
    stored = {("last", "last"): {"gamma": gamma}, ("answer", "answer"): weights}
    same(write_h5(tmp_path / "m.h5", functional("all", scale, *layers), stored), pooled(PIXELS * gamma, weights))


def test_a_layer_that_is_called_several_times(tmp_path):
    layers, weights = head()
    conv = layer("Conv2D", "conv", ("scale",), ("relu",), filters=3, kernel_size=[1, 1])
    relu = layer("ReLU", "relu", ("conv",), [node("conv", 1)], max_value={"type": "ndarray", "value": 6.0})
    last = layer("Activation", "last", [node("relu", 1)], activation={"class_name": "function", "config": "linear"})
    kernel = {"kernel": array(1, 1, 3, 3), "bias": array(3)}
    config = functional("all", layer("Rescaling", "scale", ("pictures",), scale=1 / 255), conv, relu, last, *layers)
    path = write_h5(tmp_path / "m.h5", config, {("conv", "conv"): kernel, ("answer", "answer"): weights})
    x = PIXELS / 255
    for _ in range(2):
        x = np.clip(x @ kernel["kernel"][0, 0] + kernel["bias"], 0, 6)
    same(path, pooled(x, weights))


def test_the_hard_sigmoid_of_keras_2(tmp_path):
    """Keras 3 has another function of this name."""
    layers, weights = head()
    kernel = {"kernel": array(1, 1, 3, 3), "bias": array(3)}
    config = functional(
        "all",
        layer("Rescaling", "scale", ("pictures",), scale=1 / 100),
        layer("Conv2D", "last", ("scale",), filters=3, kernel_size=[1, 1], activation="hard_sigmoid"),
        *layers,
    )
    path = write_h5(tmp_path / "m.h5", config, {("last", "last"): kernel, ("answer", "answer"): weights})
    x = np.clip(0.2 * (PIXELS / 100 @ kernel["kernel"][0, 0] + kernel["bias"]) + 0.5, 0, 1)
    same(path, pooled(x, weights))


def teachable_machine():
    conv = layer("Conv2D", "Conv1", ("pictures",), filters=4, kernel_size=[3, 3], strides=[8, 8], use_bias=False)
    features = sequential(
        "sequential_1",
        functional("model1", conv, layer("ReLU", "out_relu", ("Conv1",), max_value=6.0)),
        layer("GlobalAveragePooling2D", "global_average_pooling2d_GlobalAveragePooling2D1"),
    )
    dense = [layer("Dense", "dense_Dense1", units=5, activation="relu"), layer("Dense", "dense_Dense2", units=2)]
    dense[1]["config"].update(activation="softmax", use_bias=False)
    weights = {
        ("sequential_1", "Conv1"): {"kernel": array(3, 3, 3, 4)},
        ("sequential_3", "dense_Dense1"): {"kernel": array(4, 5), "bias": array(5)},
        ("sequential_3", "dense_Dense2"): {"kernel": array(5, 2)},
    }
    picture = {"class_name": "InputLayer", "config": PICTURE}
    return sequential("sequential_4", picture, features, sequential("sequential_3", *dense)), weights


@pytest.mark.parametrize(("scale", "expected"), [(None, "-1..1"), ("0..255", "0..255")])
def test_the_scale_of_teachable_machine_is_known(tmp_path, caplog, scale, expected):
    from classifier.models.importing import import_model

    path = write_h5(tmp_path / "keras_model.h5", *teachable_machine())
    (tmp_path / "labels.txt").write_text("0 cat\n1 dog\n")
    caplog.set_level("INFO")
    card = import_model(path, tmp_path / "labels.txt", tmp_path / "ours", scale)
    assert (card.training["scale"], card.labels) == (expected, ["cat", "dog"])
    assert ("Teachable Machine made this model" in caplog.text) == (scale is None)


def test_teachable_machine_is_known_by_its_names_or_by_its_structure():
    from classifier.models.importing import known_scale

    config, _ = teachable_machine()
    dense = config["config"]["layers"][-1]["config"]["layers"]
    dense[-1]["config"]["use_bias"] = True
    assert known_scale(config) == "-1..1"
    dense[-1]["name"] = dense[-1]["config"]["name"] = "other"
    assert known_scale(config) == "0..255"
    dense[-1]["config"]["use_bias"] = False
    assert known_scale(config) == "-1..1"


def test_the_scale_of_a_model_that_rescales_is_its_own():
    from classifier.models.importing import known_scale

    config, _ = teachable_machine()
    config["config"]["layers"].insert(1, layer("Rescaling", "scale", scale=1 / 127.5, offset=-1))
    assert known_scale(config) == "0..255"


REFUSED = {
    "a function of its own": (layer("Lambda", "odd", ("pictures",), function=["4wEA", None, None]), "Python code"),
    "a layer of its own": (layer("Custom>Odd", "odd", ("pictures",)), "its layer 'odd' (Custom>Odd)"),
    "a layer that reads a file": (
        layer("StringLookup", "odd", ("pictures",), vocabulary="/x"),
        "StringLookup",
    ),
    "a layer that loads a graph": (layer("TFSMLayer", "odd", ("pictures",), filepath="/tmp/x"), "'odd' (TFSMLayer)"),
    "another function": (layer("TFOpLambda", "odd", node("pictures"), function="io.read_file"), "tf.io.read_file"),
    "another activation": (
        layer("Activation", "odd", ("pictures",), activation="theirs"),
        "the activation theirs",
    ),
    "another argument": (layer("Flatten", "odd", ("pictures",), order="F"), "the argument order"),
    "an object": (
        layer("Dense", "odd", ("pictures",), units=2, quantization_config={"class_name": "X", "config": {}}),
        "an object as its argument quantization_config",
    ),
    "an operation": (
        layer("TensorFlowOpLayer", "odd", ("pictures",), node_def='{"op": "ReadFile"}', constants={}),
        "tf.raw_ops.ReadFile",
    ),
    "another hard sigmoid": (
        layer("LSTM", "odd", ("pictures",), units=2, recurrent_activation="hard_sigmoid"),
        "computes its hard_sigmoid otherwise",
    ),
    "an argument that does not fit": (layer("Conv2D", "odd", ("pictures",), filters=-1, kernel_size=3), "arguments"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_layer_that_cannot_be_rebuilt_is_named_with_its_writer(tmp_path, name):
    odd, reason = REFUSED[name]
    message = refusal(write_h5(tmp_path / "m.h5", functional("all", odd), {("x", "x"): {"kernel": array(1)}}))
    assert reason in message
    assert "(written by Keras 2.4.0)" in message
    assert "'odd'" in message
    assert "please replace that layer" in message


@pytest.mark.parametrize(("kernel", "reason"), [(None, "lacks its weights"), (array(2, 2, 3, 3), "needs weights of")])
def test_weights_that_do_not_fit_their_layer(tmp_path, kernel, reason):
    layers, weights = head()
    conv = layer("Conv2D", "last", ("pictures",), filters=3, kernel_size=[1, 1], use_bias=False)
    stored = {("answer", "answer"): weights} | ({("last", "last"): {"kernel": kernel}} if kernel is not None else {})
    assert f"its layer 'last' {reason}" in refusal(
        write_h5(tmp_path / "m.h5", functional("all", conv, *layers), stored)
    )


def test_weights_in_another_file_are_not_read(tmp_path):
    layers, weights = head()
    last = layer("Activation", "last", ("pictures",), activation="linear")
    path = write_h5(tmp_path / "m.h5", functional("all", last, *layers), {("other", "other"): weights})
    write_h5(tmp_path / "secret.h5", {}, {("answer", "answer"): weights})
    with h5py.File(path, "a") as file:
        file["model_weights/answer"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "model_weights/answer")
    assert "lacks its weights" in refusal(path)


def test_a_model_of_theano(tmp_path):
    path = write_h5(tmp_path / "m.h5", functional("all", layer("Flatten", "flat", ("pictures",))), {})
    with h5py.File(path, "a") as file:
        file.attrs["backend"] = "theano"
    assert "found a model of Theano" in refusal(path)


def written(tmp_path, content):
    path = tmp_path / "model"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name in content:
                archive.writestr(name, "{")
    return path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x1c\0\0\0TFL3" + bytes(20), "found a TensorFlow Lite model"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "found a damaged HDF5 file"),
        (b"something else", "found another or a damaged file"),
        (["archive/data.pkl"], "found a PyTorch model; please export it with torch.onnx.export"),
        (["keras_model.h5", "labels.txt"], "an archive with keras_model.h5 in it, which must be unpacked first"),
        (["letter.txt"], "found an archive of something else"),
        (["config.json", "metadata.json"], "found a damaged .keras file"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path, content, reason):
    assert reason in refusal(written(tmp_path, content))


@pytest.mark.parametrize("config", [[], {"class_name": "Functional"}, {"class_name": "Model", "config": {"layers": 3}}])
def test_a_damaged_configuration(tmp_path, config):
    assert "found a damaged HDF5 file" in refusal(write_h5(tmp_path / "m.h5", config, {}))


def test_a_keras_file_of_keras_3_under_another_name(tmp_path):
    from keras import Input, Sequential, layers

    network = Sequential([Input((SIDE, SIDE, 3)), layers.Flatten(), layers.Dense(2, activation="softmax")])
    network.save(tmp_path / "m.keras")
    (tmp_path / "m.keras").rename(tmp_path / "model.zip")
    np.testing.assert_allclose(answers(tmp_path / "model.zip")[0], network(PIXELS), atol=1e-6)


def test_an_h5_file_of_keras_3_with_operations(tmp_path):
    from keras import Input, Model, layers, ops

    pictures = Input((SIDE, SIDE, 3))
    x = ops.concatenate([1.0 - pictures[..., ::-1] / 127.5, pictures / 255], axis=-1)
    inner = Input((SIDE, SIDE, 6))
    features = Model(inner, layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3)(inner / 2)))
    network = Model(pictures, layers.Dense(2, activation="softmax")(features(x)))
    network.save(tmp_path / "m.h5")
    same(tmp_path / "m.h5", np.asarray(network(PIXELS, training=False)))
