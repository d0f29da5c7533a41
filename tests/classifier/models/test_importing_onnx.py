"""An imported ONNX model gives the answers of ONNX Runtime, or it is refused with a one-line reason."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from support.messages import one_line
from support.onnx_models import SIDE, keep_outside, model, residual, value

from classifier.cli import main
from classifier.errors import StartupError
from classifier.models import compiled, folder
from classifier.models.foreign import Normalisation
from classifier.models.importing_onnx import import_onnx
from classifier.models.labels import imagenet

PIXELS = np.random.default_rng(3).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture
def imported(tmp_path, labels):
    """Save a network, import it and load the folder."""

    def do(network, count=3, scale=IMAGENET, **options):
        path = tmp_path / "theirs.onnx"
        path.write_bytes(network.SerializeToString())
        import_onnx(path, labels(count), tmp_path / "ours", scale, **options)
        return compiled.read(tmp_path / "ours")

    return do


@pytest.fixture
def refused(tmp_path, labels):
    """Return the message for a network, or the content of a file, that cannot be imported; nothing may be written."""

    def do(network, count=3, scale=IMAGENET, **options):
        path = tmp_path / "theirs.onnx"
        path.write_bytes(network if isinstance(network, bytes) else network.SerializeToString())
        with pytest.raises(StartupError) as raised:
            import_onnx(path, labels(count), tmp_path / "ours", scale, **options)
        assert not (tmp_path / "ours").exists()
        return one_line(raised.value)

    return do


def by_onnx_runtime(network, pixels, layout="NCHW"):
    """Return what ONNX Runtime answers for pixels float32 (n, h, w, channels), one by one."""
    size = network.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    pictures = pixels.transpose(0, 3, 1, 2) if layout == "NCHW" else pixels
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    answers = [session.run(None, {"pictures": np.stack([picture] * size)})[0][:1] for picture in pictures]
    return np.concatenate(answers)


def normalised(pixels):
    return ((pixels / 255 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)).astype(np.float32)


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("last", [[], ["Softmax"], ["LogSoftmax"]])
def test_the_answers_are_those_of_onnx_runtime(imported, layout, last):
    network = residual(layout, last=last)
    answers = by_onnx_runtime(network, normalised(PIXELS), layout)
    expected = answers if last == ["Softmax"] else softmax(answers)
    assert np.ptp(expected) > 0.01  # not uniform
    np.testing.assert_allclose(imported(network)(PIXELS), expected, atol=1e-5)


@pytest.mark.parametrize("opset", [7, 13, 21])
def test_files_of_old_and_of_new_versions(imported, opset):
    network = residual(opset=opset)
    expected = softmax(by_onnx_runtime(network, normalised(PIXELS)))
    np.testing.assert_allclose(imported(network)(PIXELS), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("batch", "shape"), [(1, None), (1, [1, -1]), (1, [1, 8]), (4, [4, 8]), ("batch", [0, 8]), ("batch", [-1, 8])]
)
def test_a_fixed_batch_becomes_dynamic(imported, batch, shape):
    network = residual(batch=batch, shape=shape, last=["Softmax"])
    np.testing.assert_allclose(imported(network)(PIXELS), by_onnx_runtime(network, normalised(PIXELS)), atol=1e-5)


@pytest.mark.parametrize(
    ("scale", "scaled"),
    [
        ("0..255", lambda pixels: pixels),
        ("0..1", lambda pixels: pixels / 255),
        ("-1..1", lambda pixels: pixels / 127.5 - 1),
        (Normalisation((0.5,), (0.25,)), lambda pixels: (pixels / 255 - 0.5) / 0.25),
    ],
)
def test_pixels_are_scaled_as_they_were_in_training(imported, scale, scaled):
    network = residual(last=["Softmax"])
    expected = by_onnx_runtime(network, scaled(PIXELS).astype(np.float32))
    np.testing.assert_allclose(imported(network, scale=scale)(PIXELS), expected, atol=1e-5)


def test_one_channel_is_given_greyscale(imported, tmp_path):
    network = residual(channels=1, last=["Softmax"])
    grey = (PIXELS @ np.array([0.299, 0.587, 0.114]))[..., np.newaxis] / 255
    answers = imported(network, scale="0..1")(PIXELS)
    np.testing.assert_allclose(answers, by_onnx_runtime(network, grey.astype(np.float32)), atol=1e-5)
    assert folder.read_card(tmp_path / "ours").color_mode == "grayscale"


@pytest.mark.parametrize("last", [[], ["Sigmoid"]])
def test_a_single_output_becomes_two_classes(imported, last):
    network = residual(classes=1, last=last)
    answers = by_onnx_runtime(network, normalised(PIXELS))
    second = answers if last else 1 / (1 + np.exp(-answers))
    np.testing.assert_allclose(imported(network, 2)(PIXELS), np.concatenate([1 - second, second], axis=1), atol=1e-5)


def test_other_outputs_are_logits_if_that_is_said(imported, refused):
    network = residual(last=["Softplus"])
    assert "or logits, which --logits declares, found outputs like" in refused(network)
    expected = softmax(by_onnx_runtime(network, normalised(PIXELS)))
    np.testing.assert_allclose(imported(network, logits=True)(PIXELS), expected, atol=1e-5)


def test_probabilities_are_no_logits(refused):
    assert "its last operation is Softmax; please leave --logits out" in refused(
        residual(last=["Softmax"]), logits=True
    )


def test_probabilities_of_several_answers_at_once(refused):
    assert "found outputs like" in refused(residual(last=["Sigmoid"]))


def test_the_folder_is_like_any_other(imported, tmp_path):
    found = imported(residual())
    card = folder.read_card(tmp_path / "ours")
    assert (found.info.name, found.info.precision, found.info.is_random) == ("ours", "float32", False)
    assert [label.name for label in found.info.labels] == ["class 0", "class 1", "class 2"]
    assert (found.info.size, found.info.resize) == ((SIDE, SIDE), "crop")
    assert card.training == {
        "imported_from": "theirs.onnx",
        "scale": {"mean": list(IMAGENET.mean), "std": list(IMAGENET.std)},
    }


def test_the_classes_of_imagenet_get_their_wordnet_ids(tmp_path):
    names, path = tmp_path / "names.txt", tmp_path / "theirs.onnx"
    names.write_text("".join(label.name.replace("_", " ") + "\n" for label in imagenet()))
    path.write_bytes(residual(classes=1000).SerializeToString())
    import_onnx(path, names, tmp_path / "ours", IMAGENET)
    assert compiled.read(tmp_path / "ours").info.labels[0].wnid == "n01440764"


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_model_shows_where_it_looked(imported, layout):
    """Its head is pooling and a dense layer, so the map is the positions' share of the logit."""
    network = residual(layout)
    features = by_onnx_runtime(ending_at(network, "Relu"), normalised(PIXELS[:1]), layout)[0]
    dense = next(tensor for tensor in network.graph.initializer if tensor.name == "dense")
    expected = np.maximum(np.tensordot(onnx.numpy_helper.to_array(dense)[1], features, 1), 0)
    np.testing.assert_allclose(imported(network).explain(PIXELS[0], 1), expected / expected.max(), atol=1e-3)


def ending_at(network, kind):
    """Return a network up to its last operation of a kind."""
    last = [node.output[0] for node in network.graph.node if node.op_type == kind][-1]
    network = onnx.ModelProto.FromString(network.SerializeToString())
    del network.graph.output[:]
    network.graph.output.append(value(last, None))
    return network


def test_weights_beside_the_model(imported, tmp_path):
    network = residual()
    expected = softmax(by_onnx_runtime(network, normalised(PIXELS)))
    keep_outside(network, "first", "theirs.onnx.data", tmp_path / "theirs.onnx.data")
    np.testing.assert_allclose(imported(network)(PIXELS), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["parent", "absolute", "link"])
def test_weights_outside_of_the_folder_are_not_read(refused, tmp_path_factory, tmp_path, kind):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    (tmp_path / "link").symlink_to(secret)
    names = {"parent": f"../{secret.parent.name}/secret", "absolute": str(secret), "link": "link"}
    network = residual()
    keep_outside(network, "first", names[kind], secret)
    assert "weights in a file outside of its folder, which are not read" in refused(network)


def test_weights_that_are_missing_or_cut(refused, tmp_path):
    network, data = residual(), tmp_path / "theirs.onnx.data"
    keep_outside(network, "first", data.name, data)
    data.write_bytes(data.read_bytes()[:-1])
    assert "weights in another file, which is missing or damaged" in refused(network)
    data.unlink()
    assert "weights in another file, which is missing or damaged" in refused(network)


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_labels(refused, count):
    assert f"expected an output for each of the {count} labels, found 3" in refused(residual(), count)


@pytest.mark.parametrize("part", [0, 1, 10, 0.5, 0.99])
def test_a_file_that_is_cut(refused, part):
    content = residual().SerializeToString()
    cut = content[: part if isinstance(part, int) else int(part * len(content))]
    assert "expected an ONNX model, found another or a damaged file" in refused(cut)


@pytest.mark.parametrize("content", [b"weights, say", b"\x99HDF\r\n\x1a\n" + bytes(100), b"PK\x03\x04" + bytes(100)])
def test_a_file_of_something_else(refused, content):
    assert "expected an ONNX model, found another or a damaged file" in refused(content)


@pytest.mark.parametrize("path", ["", "nothing.onnx"])
def test_a_path_without_a_file(tmp_path, labels, path):
    with pytest.raises(StartupError, match="is not a file"):
        import_onnx(tmp_path / path, labels(3), tmp_path / "ours", IMAGENET)


def test_operations_of_somebodys_own(refused):
    network = residual()
    network.graph.node[2].op_type, network.graph.node[2].domain = "Magic", "com.example"
    network.opset_import.append(helper.make_opsetid("com.example", 1))
    assert "operations that OpenVINO does not know (com.example.Magic)" in refused(network)


def test_a_detector(refused):
    network = residual()
    network.graph.output.append(value("x5", None))
    assert "expected one output, with a number for each class, found 2 (x9 [?,3], x5 [?,8,16,16])" in refused(network)


def test_a_network_that_gives_a_picture(refused):
    assert "found 1 (x5 [?,8,16,16])" in refused(ending_at(residual(), "Relu"))


@pytest.mark.parametrize("shape", [(SIDE,), (4, SIDE, SIDE), (3, "height", "width"), (2, 3, SIDE, SIDE), (3, SIDE, 3)])
def test_an_input_that_is_no_picture_of_a_fixed_size(refused, shape):
    nodes = [helper.make_node("Flatten", ["tokens"], ["all"]), helper.make_node("Softmax", ["all"], ["scores"])]
    network = model(nodes, {}, [value("tokens", ["batch", *shape])], [value("scores", None)])
    assert "expected one picture as its input, of a fixed height and width" in refused(network)


def test_an_input_without_a_shape(refused):
    network = residual()
    network.graph.input[0].type.tensor_type.ClearField("shape")
    assert "expected" in refused(network)


def test_two_inputs(refused):
    network = residual()
    network.graph.input.append(value("threshold", [1]))
    network.graph.node.append(helper.make_node("Add", ["x9", "threshold"], ["sum"]))
    network.graph.output[0].name = "sum"
    assert "found 2 (pictures [?,3,32,32], threshold [1])" in refused(network)


def test_answers_that_are_not_numbers(refused):
    network = residual()
    bias = next(tensor for tensor in network.graph.initializer if tensor.name == "bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(3, np.nan, np.float32), "bias"))
    assert "expected finite numbers as outputs, found outputs like [nan nan nan]" in refused(network)


def test_half_precision(imported):
    """As an export of `model.half()`: the input and the weights are float16."""
    network = residual(last=["Softmax"])
    expected = by_onnx_runtime(network, normalised(PIXELS))
    for tensor in network.graph.initializer:
        halves = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(halves, tensor.name))
    for port in (*network.graph.input, *network.graph.output):
        port.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    np.testing.assert_allclose(imported(network)(PIXELS), expected, atol=0.01)


def test_answers_that_depend_on_each_other(refused):
    """The answers for all pictures add up to one."""
    network = residual(last=["Softmax"])
    network.graph.node[-1].attribute[0].i = 0
    assert "a model that takes any number of pictures at once" in refused(network)


def test_a_batch_that_cannot_be_freed(refused):
    """A constant for one picture is joined to the features, as a transformer's class token is."""
    nodes = [
        helper.make_node("Flatten", ["pictures"], ["all"]),
        helper.make_node("Concat", ["all", "token"], ["more"], axis=1),
        helper.make_node("MatMul", ["more", "dense"], ["scores"]),
    ]
    weights = {"token": np.ones((1, 2), np.float32), "dense": np.ones((3 * SIDE * SIDE + 2, 3), np.float32)}
    network = model(nodes, weights, [value("pictures", [1, 3, SIDE, SIDE])], [value("scores", [1, 3])])
    assert "a model that takes any number of pictures at once, found one with a fixed batch within" in refused(network)


def test_a_scale_must_be_given(refused):
    assert "please give the --mean and --std, or the --scale" in refused(residual(), scale=None)
    assert "'vgg16' cannot be used: expected 0..255, 0..1, -1..1, or --mean and --std" in refused(
        residual(), scale="vgg16"
    )
    assert "must be one number each for 1 channel" in refused(residual(channels=1))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--mean", "0.5"], "Expected --mean with --std, or --scale without both."),
        (["--mean", "0.5", "--std", "0.5", "--scale", "0..1"], "Expected --mean with --std, or --scale without both."),
        (["--mean", "123.7,116.3,103.5", "--std", "0.5"], "--mean must be one number or three"),
        (["--mean", "0.5,0.5", "--std", "0.5"], "--mean must be one number or three"),
        (["--mean", "0.5", "--std", "0"], "--std must be one number or three"),
        (
            ["--mean", "0.5", "--std", "half"],
            "--std must be one number or three, separated by commas, each from 0 to 1",
        ),
    ],
)
def test_options_that_do_not_fit(tmp_path, capsys, options, reason):
    assert main(["import", "a.onnx", "--labels", "a.txt", "-o", str(tmp_path / "ours"), *options]) == 1
    assert f"Cannot import: {reason}" in capsys.readouterr().err


def test_the_command(tmp_path, labels, capsys):
    network = residual(last=["Softmax"])
    path, output = tmp_path / "resnet.ONNX", tmp_path / "ours"
    path.write_bytes(network.SerializeToString())
    options = ["--mean", "0.485,0.456,0.406", "--std", "0.229, 0.224, 0.225", "--resize", "stretch"]
    assert main(["import", str(path), "--labels", str(labels(3)), *options, "-o", str(output)]) == 0
    assert f"3 classes, 32 x 32 pixels, rgb: {output}" in capsys.readouterr().out
    found = compiled.read(output)
    np.testing.assert_allclose(found(PIXELS), by_onnx_runtime(network, normalised(PIXELS)), atol=1e-5)
    assert found.info.resize == "stretch"
