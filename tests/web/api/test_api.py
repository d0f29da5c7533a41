"""The protocols for programs: correct requests are answered, and the error for a wrong one is one sentence."""

import base64
import json
import re
import struct
from functools import partial
from io import BytesIO
from textwrap import wrap

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from support.models import COLOURS
from support.pictures import encoded, picture, textured

from classifier.errors import Misunderstood
from web.api.encoded_image import from_base64
from web.api.open_inference import packed, unpacked

INFER = "/v2/models/toy/infer"
PREDICT = "/v1/models/toy:predict"
LENGTH = "Inference-Header-Content-Length"
FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def in_base64(image: bytes) -> str:
    return base64.b64encode(image).decode()


def tensor(*images: bytes, **changes) -> dict:
    given = {"name": "images", "datatype": "BYTES", "shape": [len(images)], "data": [*map(in_base64, images)]}
    return given | changes


def pixels(data, shape=(1, 224, 224, 3), **changes) -> dict:
    return {"name": "pixels", "datatype": "UINT8", "shape": list(shape), "data": data} | changes


def asking(*inputs: dict, **members) -> dict:
    return {"inputs": list(inputs), **members}


def infer(client, *inputs: dict, **members):
    return client.post(INFER, json=asking(*inputs, **members))


def infer_binary(client, given: dict, data: bytes, length: int | str | None = None, **members):
    head = json.dumps(asking(given, **members)).encode()
    return client.post(INFER, data=head + data, headers={LENGTH: str(len(head) if length is None else length)})


def outputs(response) -> dict:
    assert response.status_code == 200, response.text
    return {output["name"]: output["data"] for output in response.json["outputs"]}


def sentence(response, status: int) -> str:
    """Return the error message of a response."""
    assert (response.status_code, response.mimetype) == (status, "application/json"), response.text
    assert list(response.json) == ["error"]
    return response.json["error"]


def test_an_answer_has_the_shape_of_the_protocol(client):
    response = infer(client, tensor(picture("lime")), id="7", parameters={"top_k": 2}, outputs=[{"name": "scores"}])
    assert response.json == {
        "model_name": "toy",
        "model_version": "1",
        "id": "7",
        "outputs": [
            {"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": pytest.approx([256 / 258, 1 / 258])}
        ],
    }


def test_an_image_and_its_pixels_get_the_same_answer(make_client):
    client = make_client(resize="stretch")  # of 224 x 224 pixels, as they are
    image = textured((224, 224))
    data = np.asarray(image)[np.newaxis]
    answers = [
        outputs(infer(client, tensor(encoded(image)))),
        outputs(infer(client, pixels(data.tolist()))),
        outputs(infer(client, pixels(data.ravel().tolist()))),
        outputs(infer_binary(client, pixels(None, parameters={"binary_data_size": data.size}), data.tobytes())),
    ]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("shape", [[3], [3, 1]])
def test_images_are_answered_in_order_in_either_shape(client, shape):
    images = [picture(colour) for colour in COLOURS]
    found = outputs(infer(client, tensor(*images, shape=shape), parameters={"top_k": 1}))
    assert found["labels"] == list(COLOURS.values())


def test_binary_outputs_follow_the_json_in_its_order(client):
    wanted = [{"name": "labels", "parameters": {"binary_data": True}}, {"name": "indices"}, {"name": "scores"}]
    members = {"parameters": {"binary_data_output": True, "top_k": 1}, "outputs": wanted}
    wanted[1]["parameters"] = {"binary_data": False}
    response = infer(client, tensor(picture("lime")), **members)
    at = int(response.headers[LENGTH])
    told = json.loads(response.data[:at])["outputs"]
    assert response.mimetype == "application/octet-stream"
    assert [output["name"] for output in told] == ["labels", "indices", "scores"]
    assert told[0]["parameters"] == {"binary_data_size": 16}
    assert told[1]["data"] == [1]
    labels, scores = response.data[at : at + 16], response.data[at + 16 :]
    assert labels == struct.pack("<I", 12) + b"Egyptian_cat"
    assert struct.unpack("<f", scores) == pytest.approx((256 / 258,))


def test_more_classes_than_there_are_is_all_of_them(client):
    assert len(outputs(infer(client, tensor(picture()), parameters={"top_k": 99}))["labels"]) == 3


RED = tensor(picture())
BLACK = [0] * (224 * 224 * 3)
WRONG = {
    "no input": (asking(), "one input"),
    "two inputs": (asking(RED, RED), "one input"),
    "inputs that are no list": ({"inputs": RED}, '"inputs" must be a list'),
    "an input that is no object": (asking(7), "must be an object"),
    "an unknown input": (asking(tensor(picture(), name="photo")), '"images" of BYTES or "pixels" of UINT8'),
    "another datatype": (asking(tensor(picture(), datatype="FP32")), '"images" of BYTES or "pixels" of UINT8'),
    "no shape": (asking(tensor(picture(), shape=[])), "must be [n] or [n, 1]"),
    "too many dimensions": (asking(tensor(picture(), shape=[1, 2])), "must be [n] or [n, 1]"),
    "a shape of truths": (asking(tensor(picture(), shape=[True])), '"shape[0]" must be a whole number, not true.'),
    "a shape in words": (asking(tensor(picture(), shape="1")), '"shape" must be a list, not a string.'),
    "a size of its own": (asking(tensor(picture(), parameters={"binary_data_size": -1})), "at least 0, not -1."),
    "an output that is none": (asking(RED, outputs=[7]), '"outputs[0]" must be an object, not 7.'),
    "more outputs than there are": (asking(RED, outputs=[{"name": "labels"}] * 4), "each once"),
    "neither binary nor not": (asking(RED, parameters={"binary_data_output": 1}), "must be true or false, not 1."),
    "a very long number": (asking(RED, id=10**100), "must be a string, not a long number."),
    "no images": (asking(tensor(shape=[0])), "no image"),
    "fewer images than the shape says": (asking(tensor(picture(), shape=[2])), "2 images, but the data has 1"),
    "no base64": (asking(tensor(data=["*"], shape=[1])), 'character 1, not counting line breaks, is "*".'),
    "numbers for images": (asking(tensor(data=[7], shape=[1])), "must be a string"),
    "no data": (asking(tensor(data=None, shape=[1])), '"data" of "images" must be a list'),
    "pixels of another size": (asking(pixels([0] * 27, (1, 3, 3, 3))), "must be [n, 224, 224, 3]"),
    "too few pixels": (asking(pixels([1, 2, 3])), "does not have the shape"),
    "nested otherwise": (asking(pixels([BLACK])), "does not have the shape"),
    "a number too large": (asking(pixels([*BLACK[1:], 256])), "0 to 255"),
    "a number below 0": (asking(pixels([*BLACK[1:], -1])), "0 to 255"),
    "a fraction": (asking(pixels([*BLACK[1:], 0.5])), "0 to 255"),
    "a number in words": (asking(pixels([*BLACK[1:], "7"])), "0 to 255"),
    "a long text among numbers": (asking(pixels([*BLACK[1:], "7" * 10**6])), "0 to 255"),
    "a truth": (asking(pixels([*BLACK[1:], True])), "0 to 255"),
    "lists of unequal lengths": (asking(pixels([[1, 2], [3]])), "0 to 255"),
    "lists and numbers": (asking(pixels([[1, 2], 3])), "0 to 255"),
    "empty lists": (asking(pixels([[], []])), "0 to 255"),
    "no classes": (asking(RED, parameters={"top_k": 0}), '"top_k" must be at least 1'),
    "half a class": (asking(RED, parameters={"top_k": 0.5}), '"top_k" must be a whole number'),
    "an unknown output": (asking(RED, outputs=[{"name": "x"}]), "labels, scores, indices"),
    "an output twice": (asking(RED, outputs=[{"name": "labels"}] * 2), "each once"),
    "a number for an id": (asking(RED, id=7), '"id" must be a string'),
    "binary data that is not there": (asking(tensor(parameters={"binary_data_size": 9}, shape=[1])), LENGTH),
    "a list for a request": ([], "must be an object"),
}


@pytest.mark.parametrize(("document", "told"), WRONG.values(), ids=WRONG)
def test_a_request_that_is_wrong_is_told_what_is_wrong(client, document, told):
    assert told in sentence(client.post(INFER, json=document), 400)


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff", b'{"id": NaN}', b'{"id": %s}' % (b"9" * 5000)])
def test_what_is_no_json_is_told(client, body):
    assert "not JSON" in sentence(client.post(INFER, data=body), 400)


def element(data: bytes, length: int | None = None) -> bytes:
    return struct.pack("<I", len(data) if length is None else length) + data


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "as many elements"),
        (b"\x01\x00", "as many elements"),
        (element(picture(), length=2**32 - 1), "as many elements"),
        (element(picture()) * 2, "as many elements"),
        (element(picture()) + b"x", "as many elements"),
    ],
)
def test_binary_data_has_to_be_as_it_says(client, data, told):
    parameters = {"binary_data_size": len(data)}
    response = infer_binary(client, tensor(shape=[1], parameters=parameters), data)
    assert told in sentence(response, 400)


@pytest.mark.parametrize("size", [-1, 0, 5, 2**70])
def test_binary_data_has_the_size_that_it_says(client, size):
    given = tensor(shape=[1], parameters={"binary_data_size": size})
    assert "binary_data_size" in sentence(infer_binary(client, given, element(picture())), 400)


@pytest.mark.parametrize("length", [10**9, "-1", "x", "٣", "9" * 5000, ""])
def test_the_length_of_the_json_has_to_be_one(client, length):
    assert LENGTH in sentence(
        client.post(INFER, data=b"{}", headers={LENGTH: str(length).encode().decode("latin-1")}), 400
    )


def test_sizes_are_bounded_as_for_uploads(make_client):
    client = make_client(max_files=2, max_upload_mb=1)
    assert "may hold 2 photos" in sentence(infer(client, tensor(*[picture()] * 3)), 413)
    assert "may hold 2 photos" in sentence(infer(client, pixels([], (3, 224, 224, 3))), 413)
    for address in (INFER, PREDICT, "/models/toy"):
        assert "fewer or smaller" in sentence(client.post(address, data=b"x" * (2**20 + 1)), 413)
    assert "too many values" in sentence(client.post(INFER, data=b"[" + b"[]," * 260_000), 413)
    assert "too many values" in sentence(client.post("/models/toy", json={"inputs": [[]] * 2000}), 413)


@pytest.mark.parametrize("address", [INFER, "/models/toy"])
def test_a_body_of_unknown_length_is_bounded_too(make_client, address):
    client = make_client(max_upload_mb=1)
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    ask = partial(client.post, address, environ_overrides={**chunked, "CONTENT_LENGTH": ""})
    assert "fewer or smaller" in sentence(ask(input_stream=BytesIO(b"x" * (2**20 + 1))), 413)
    if address == INFER:
        assert ask(input_stream=BytesIO(json.dumps(asking(RED)).encode())).status_code == 200
    else:
        assert ask(input_stream=BytesIO(picture())).status_code == 200


def test_an_error_tells_which_image_it_is(client):
    broken = picture()[:90]
    assert sentence(infer(client, tensor(picture(), broken)), 422).startswith("Image 2 of 2: This image is damaged")
    assert sentence(infer(client, tensor(broken)), 422).startswith("This image is damaged")
    assert "empty" in sentence(infer(client, tensor(b"")), 400)


def test_another_model_is_nowhere_whatever_is_asked_of_it(client):
    for method, address in [
        ("GET", "/v2/models/vgg16"),
        ("GET", "/v2/models/vgg16/ready"),
        ("POST", "/v2/models/vgg16/infer"),
        ("POST", "/models/vgg16"),
        ("GET", "/v1/models/vgg16"),
        ("POST", "/v1/models/vgg16:predict"),
    ]:
        assert (
            sentence(client.open(address, method=method), 404)
            == "There is no model of this name here; this site's model is toy."
        )
    assert "its version is 1" in sentence(client.get("/v2/models/toy/versions/2"), 404)
    assert "its version is 1" in sentence(client.post("/v1/models/toy/versions/2:predict"), 404)


def test_a_busy_site_refuses_before_it_reads(client):
    client.application.extensions["engine"].close()
    for address in (INFER, PREDICT, "/models/toy"):
        response = client.post(address, data=b"no request at all")
        assert "try again" in sentence(response, 503)
        assert response.headers["Retry-After"] == "2"
    for address in ("/v2/health/ready", "/v2/models/toy/ready"):
        assert "try again" in sentence(client.get(address), 503)
    assert client.get("/v2/health/live").json == {"live": True}


@pytest.mark.parametrize(
    "address",
    [
        *("/v2/", "/v2/models", "/v2/models/toy/config", "/v2/x", "/models/", "/models/a/b"),
        *("/v1", "/v1/models/toy:classify"),
    ],
)
def test_below_these_addresses_nothing_is_told_in_json(client, address):
    assert "/openapi.json" in sentence(client.get(address), 404)


def test_other_methods_are_told_which_there_are(client):
    for address in (INFER, PREDICT):
        response = client.get(address)
        assert "that kind of request" in sentence(response, 405)
        assert response.allow == {"POST", "OPTIONS"}


def test_other_addresses_are_still_the_pages(client):
    for address in ("/v2x", "/model", "/modelsx/toy"):
        response = client.get(address)
        assert (response.status_code, response.mimetype) == (404, "text/html")


@pytest.mark.parametrize("address", ["/predict", "/api/v3/models", "/v2x", "/examples/clock.jpg"])
@pytest.mark.parametrize(
    ("headers", "type"),
    [
        ({}, "application/problem+json"),
        ({"Accept": "*/*"}, "application/problem+json"),
        ({"Accept": "application/json"}, "application/problem+json"),
        ({"Accept": "text/html,*/*;q=0.8"}, "text/html"),
    ],
)
def test_an_address_that_does_not_exist_asked_with_json_answers_in_json(client, address, headers, type):
    response = client.post(address, json={"instances": []}, headers=headers)
    assert response.status_code == (405 if address == "/examples/clock.jpg" else 404)
    assert response.mimetype == type


@pytest.mark.parametrize("path", ["/nowhere", "/v2x"])
def test_an_unknown_address_that_is_asked_for_json_answers_in_json(client, path):
    response = client.get(path, headers={"Accept": "application/json"})
    assert (response.status_code, response.json["status"]) == (404, 404)


def test_strangers_are_refused_in_the_dialect(make_client):
    client = make_client(token="secret")
    assert "token" in sentence(client.post("/models/toy", data=picture()), 401)
    answered = client.post("/models/toy", data=picture(), headers={"Authorization": "Bearer secret"})
    assert answered.status_code == 200


@pytest.mark.parametrize("type", [None, "image/png", "application/octet-stream", "application/x-www-form-urlencoded"])
def test_an_image_is_taken_whatever_it_is_called(client, type):
    response = client.post("/models/toy", data=picture("lime"), content_type=type)
    assert response.json[0] == {"label": "Egyptian_cat", "score": pytest.approx(256 / 258)}


def test_the_task_takes_json_with_parameters(client):
    response = client.post("/models/toy", json={"inputs": in_base64(picture("blue")), "parameters": {"top_k": 2}})
    assert [element["label"] for element in response.json] == ["blue_jay", "red_fox"]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({}, '"inputs" is missing'),
        ({"inputs": "*"}, "base64"),
        ({"inputs": "", "parameters": []}, '"parameters" must be an object'),
        ({"inputs": "", "parameters": {"top_k": -1}}, "at least 1"),
        ({"inputs": "", "parameters": {"function_to_apply": "none"}}, 'can only be "softmax"'),
        ({"inputs": ""}, "empty"),
    ],
)
def test_a_task_that_is_wrong_is_told_what_is_wrong(client, document, told):
    assert told in sentence(client.post("/models/toy", json=document), 400)


def predict(client, **document):
    return client.post(PREDICT, json=document)


def b64(*colours: str) -> list[dict]:
    return [{"b64": in_base64(picture(colour))} for colour in colours]


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_tensorflow_serving_s_clients_find_the_model_available(client, version):
    (found,) = client.get(f"/v1/models/toy{version}").json["model_version_status"]
    assert found == {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}


def test_predictions_are_the_probabilities_of_all_classes_in_the_order_of_the_model(make_client):
    response = predict(make_client(top=1), instances=b64(*COLOURS))
    assert list(response.json) == ["predictions"]
    assert np.array(response.json["predictions"]) == pytest.approx((np.eye(3) * 255 + 1) / 258)


@pytest.mark.parametrize(
    ("document", "member"),
    [
        ({"instances": b64("lime")}, "predictions"),
        ({"instances": [{"image_bytes": image} for image in b64("lime")]}, "predictions"),
        ({"signature_name": "serving_default", "instances": b64("lime")}, "predictions"),
        ({"inputs": b64("lime")}, "outputs"),
        ({"inputs": {"image_bytes": b64("lime")}}, "outputs"),
    ],
)
@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_a_tensorflow_serving_request_has_rows_or_columns_and_may_name_its_input(client, document, member, version):
    # without a Content-Type of JSON, as curl -d and requests.post(data=...) send it
    response = client.post(f"/v1/models/toy{version}:predict", data=json.dumps(document))
    assert np.argmax(response.json[member][0]) == 1


@pytest.mark.parametrize(
    ("document", "status", "told"),
    [
        ({}, 400, 'either "instances" or "inputs"'),
        ({"instances": b64("lime"), "inputs": b64("lime")}, 400, 'either "instances" or "inputs"'),
        ({"instances": []}, 400, "no image"),
        ({"instances": {"b64": ""}}, 400, '"instances" must be a list, not an object.'),
        ({"instances": ["QUJD"]}, 400, 'an object such as {"b64": "..."}'),
        ({"instances": [[[0, 0, 0]]]}, 400, 'an object such as {"b64": "..."}'),
        ({"instances": [{"b64": 7}]}, 400, 'an object such as {"b64": "..."}'),
        ({"instances": [{"a": b64("lime")[0], "b": 1}]}, 400, 'an object such as {"b64": "..."}'),
        ({"instances": [{"b64": "*"}]}, 400, 'is "*".'),
        ({"instances": [*b64("lime"), {"b64": "QUJD"}]}, 415, "Image 2 of 2: This file is not an image"),
        ({"instances": b64("lime") * 17}, 413, "may hold 16 photos"),
        ({"instances": [[[0] * 224] * 224]}, 413, "too many values"),
    ],
)
def test_a_tensorflow_serving_request_that_is_wrong_is_told_what_is_wrong(client, document, status, told):
    assert told in sentence(predict(client, **document), status)


def percent_encoded(text: str) -> str:
    return text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")


SPELLINGS = {
    "wrapped": lambda text: base64.encodebytes(base64.b64decode(text)).decode(),
    "wrapped for Windows": lambda text: "\r\n".join(wrap(text, 64)) + "\r\n",
    "wrapped and indented": lambda text: "\n    ".join(wrap(text, 76)),
    "wrapped, its line breaks turned into blanks": lambda text: " ".join(wrap(text, 76)),
    "wrapped at an odd width": lambda text: "\n".join(wrap(text, 33)),
    "without padding": lambda text: text.rstrip("="),
    "the alphabet of URLs": lambda text: text.replace("+", "-").replace("/", "_"),
    "the alphabet of URLs without padding": lambda text: text.replace("+", "-").replace("/", "_").rstrip("="),
    "a data URL": lambda text: f"data:image/png;base64,{text}",
    "a data URL in capitals": lambda text: f"DATA:IMAGE/PNG;BASE64,{text}",
    "a data URL without a type": lambda text: f"data:;base64,{text}",
    "a data URL with parameters": lambda text: f"data:image/png;name=a.png;base64,{text}",
    "a data URL, percent-encoded": lambda text: f"data:image/png;base64,{percent_encoded(text)}",
    "a wrapped data URL": lambda text: "data:image/png;base64,\n" + "\n".join(wrap(text, 76)),
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_base64_is_read_in_every_usual_spelling(spell):
    image = bytes(range(256)) + b"\xfb\xef\xff"
    spelt = spell(in_base64(image + b"!"))  # ends in ==, and has both + and /
    assert from_base64(spelt) == image + b"!"
    assert from_base64(spell(in_base64(image))) == image


def test_all_interfaces_read_wrapped_base64_even_pasted_into_the_json(client):
    wrapped = base64.encodebytes(picture("lime")).decode()
    assert outputs(infer(client, tensor(data=[wrapped], shape=[1])))["labels"][0] == "Egyptian_cat"
    pasted = f'{{"inputs": "{wrapped}"}}'  # with line breaks where JSON has none
    response = client.post("/models/toy", data=pasted, content_type="application/json")
    assert response.json[0]["label"] == "Egyptian_cat"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("QUJD*EVG", 'its character 5, not counting line breaks, is "*".'),
        ("QUJD\r\nQUJD\r\nQ?==", 'its character 10, not counting line breaks, is "?".'),
        ("ä", 'is "ä".'),
        ("b'QUJD'", 'its character 2, not counting line breaks, is "\'".'),
        ("QUJD\x00", "is U+0000."),
        ("QUJD\ud83d", "is U+D83D."),
        ("QUI=QUI=", 'its character 4, not counting line breaks, is "="'),
        ("QU D QUJD", 'its character 3, not counting line breaks, is a space, which may have been a "+".'),
        ("data:image/png;base64,QU:D", 'its character 3, not counting line breaks, is ":".'),
        ("data:image/png;base64", 'is ":".'),
        ("data:image/png,%89PNG", 'as "data:image/jpeg;base64,..." does.'),
        ("QUJDR", "has lost its end"),
    ],
)
def test_what_is_in_the_way_of_base64_is_named(text, told):
    with pytest.raises(Misunderstood, match=re.escape(told)):
        from_base64(text)


def test_nothing_is_kept(make_client, tmp_path):
    client = make_client(uploads=tmp_path / "none")
    assert infer(client, RED).status_code == 200
    assert client.post("/models/toy", data=picture()).status_code == 200
    assert predict(client, instances=[{"b64": in_base64(picture())}]).status_code == 200
    assert not (tmp_path / "none").exists()


VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats(allow_nan=False)
    | strategies.text(max_size=5) | strategies.sampled_from(["images", "pixels", "BYTES", "UINT8", "labels"]),
    lambda values: strategies.lists(values, max_size=3)
    | strategies.dictionaries(strategies.sampled_from(["name", "parameters", "binary_data", "top_k", "data"]), values),
    max_leaves=8,
)  # fmt: skip
MEMBERS = ["id", "parameters", "inputs", "outputs"]
OF_INPUT = ["name", "datatype", "shape", "data", "parameters"]


@FUZZ
@given(
    strategies.dictionaries(strategies.sampled_from(MEMBERS), VALUES, max_size=2),
    strategies.dictionaries(strategies.sampled_from(OF_INPUT), VALUES, max_size=2),
)
def test_no_json_at_all_is_our_fault(client, members, of_input):
    document = asking(RED | of_input) | members
    assert client.post(INFER, data=json.dumps(document)).status_code < 500
    assert client.post("/models/toy", json={"inputs": "", **members, **of_input}).status_code < 500
    assert client.post(PREDICT, json={"instances": [of_input], **members}).status_code < 500


@FUZZ
@given(strategies.lists(strategies.text(max_size=20), max_size=5))
def test_what_is_packed_is_unpacked(texts):
    assert unpacked(packed("BYTES", texts), len(texts)) == [text.encode() for text in texts]


@FUZZ
@given(strategies.binary(max_size=40), strategies.integers(0, 4))
def test_whatever_is_unpacked_is_all_of_it(data, count):
    try:
        found = unpacked(data, count)
    except Misunderstood:
        return
    assert b"".join(map(element, found)) == data
