"""The shapes of what goes in and comes out, as JSON Schema, for /openapi.json."""

from collections.abc import Sequence
from typing import Any

from classifier.contract import ModelInfo
from web.api.open_inference import IMAGES, OUTPUTS, PIXELS, VERSION

Schema = dict[str, Any]

STRING, BOOLEAN, NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}
IMAGE: Schema = {"type": "string", "format": "binary"}
IN_BASE64: Schema = {"type": "string", "format": "byte", "contentEncoding": "base64"}
ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def record(properties: Schema, optional: Sequence[str] = (), **more: Any) -> Schema:
    """An object with these members, of which all but the `optional` are always there."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **more}


def request(properties: Schema, optional: Sequence[str] = ()) -> Schema:
    """As `record`, for what comes in: null, too, stands for what is missing."""
    nullable = {name: {"anyOf": [properties[name], {"type": "null"}]} for name in optional}
    return record(properties | nullable, optional)


def listed(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def schemas(model: ModelInfo, max_files: int) -> dict[str, Schema]:
    """All of them, by name."""
    return site(len(model.labels)) | protocol(model, max_files) | task()


def site(classes: int) -> dict[str, Schema]:
    """The pages' JSON."""
    index = {**COUNT, "maximum": classes - 1}
    prediction = record({"index": index, "wnid": STRING, "label": STRING, "score": PROBABILITY})
    problem = record({"type": STRING, "title": STRING, "status": {"type": "integer"}, "detail": STRING})
    feedback = record({"label": STRING, "right": BOOLEAN})
    result = record(
        {
            "filename": {"type": ["string", "null"]},
            "id": {"type": ["string", "null"]},
            "url": {"type": ["string", "null"]},
            "notice": STRING,
            "sure": BOOLEAN,
            "feedback": feedback,
            "predictions": listed(ref("Prediction"), minItems=1),
        },
        optional=("notice", "sure", "feedback"),
    )
    failed = record({"filename": {"type": ["string", "null"]}, "error": ref("Problem")})
    box = listed(NUMBER, minItems=4, maxItems=4)
    size = listed(COUNT, minItems=2, maxItems=2)
    heat = listed(listed(PROBABILITY))
    ready = record({"status": {"const": "ready"}, "model": STRING, "device": STRING, "precision": STRING})
    return {
        "Prediction": prediction,
        "Problem": problem,
        "Outcome": {"oneOf": [result, failed]},
        "Results": record({"model": STRING, "results": listed(ref("Outcome"), minItems=1)}),
        "Why": record({"index": index, "size": size, "box": box, "heat": heat}),
        "Alive": record({"status": {"const": "alive"}}),
        "Ready": ready,
        "Error": record({"error": STRING}),
    }


def protocol(model: ModelInfo, max_files: int) -> dict[str, Schema]:
    """The Open Inference Protocol v2."""
    datatype = {"enum": ["BYTES", "UINT8", *(output.datatype for output in OUTPUTS.values())]}
    shape = listed({"type": "integer", "minimum": -1})
    tensor = record({"name": STRING, "datatype": datatype, "shape": shape})
    own = {"model_name": {"const": model.name}, "model_version": {"const": VERSION}, "id": STRING}
    return {
        "Server": record({"name": STRING, "version": STRING, "extensions": listed(STRING)}),
        "ServerLive": record({"live": {"const": True}}),
        "ServerReady": record({"live": {"const": True}, "ready": {"const": True}}),
        "ModelReady": record({"name": {"const": model.name}, "ready": {"const": True}}),
        "Model": record(
            {
                "name": {"const": model.name},
                "versions": listed({"const": VERSION}),
                "platform": STRING,
                "inputs": listed(ref("TensorMetadata")),
                "outputs": listed(ref("TensorMetadata")),
            }
        ),
        "TensorMetadata": tensor,
        "InferenceRequest": inference_request(model.size, max_files),
        "InferenceResponse": record({**own, "outputs": listed(ref("InferenceOutput"), minItems=1)}, optional=("id",)),
        "InferenceOutput": record(
            {
                "name": {"enum": list(OUTPUTS)},
                "datatype": datatype,
                "shape": listed({"type": "integer", "minimum": 1}, minItems=2, maxItems=2),
                "data": listed({"type": ["string", "number"]}),
                "parameters": record({"binary_data_size": COUNT}),
            },
            optional=("data", "parameters"),
        ),
    }


def inference_request(size: tuple[int, int], max_files: int) -> Schema:
    """Its data in JSON; as binary data, it follows the JSON."""
    n = {"type": "integer", "minimum": 1, "maximum": max_files}
    binary_size = {"parameters": request({"binary_data_size": COUNT}, optional=("binary_data_size",))}
    of_images = {"name": {"const": IMAGES}, "datatype": {"const": "BYTES"}, "shape": shape(n), **binary_size}
    of_pixels = {"name": {"const": PIXELS}, "datatype": {"const": "UINT8"}, "shape": shape(n, *size, 3), **binary_size}
    images = request({**of_images, "data": listed(IN_BASE64, minItems=1, maxItems=max_files)}, ("parameters", "data"))
    pixels = request({**of_pixels, "data": listed({"type": ["integer", "array"]})}, ("parameters", "data"))
    wanted = {"name": {"enum": list(OUTPUTS)}, "parameters": request({"binary_data": BOOLEAN}, ("binary_data",))}
    wishes = {"top_k": {"type": "integer", "minimum": 1}, "binary_data_output": BOOLEAN}
    return request(
        {
            "id": STRING,
            "parameters": request(wishes, tuple(wishes)),
            "inputs": listed({"oneOf": [images, pixels]}, minItems=1, maxItems=1),
            "outputs": listed(request(wanted, ("parameters",)), uniqueItems=True, maxItems=len(OUTPUTS)),
        },
        optional=("id", "parameters", "outputs"),
    )


def shape(*sizes: int | Schema) -> Schema:
    """A list of just these, each a number or what it may be."""
    items = [size if isinstance(size, dict) else {"const": size} for size in sizes]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}


def task() -> dict[str, Schema]:
    """Hugging Face's image-classification task."""
    wishes = {"top_k": {"type": "integer", "minimum": 1}, "function_to_apply": {"const": "softmax"}}
    asked = {"inputs": IN_BASE64, "parameters": request(wishes, tuple(wishes))}
    return {
        "ImageClassificationInput": request(asked, ("parameters",)),
        "ImageClassificationOutput": listed(record({"label": STRING, "score": PROBABILITY}), minItems=1),
    }
