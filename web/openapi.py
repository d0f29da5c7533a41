"""GET /openapi.json: the description of every route, for people and their tools.

openapi.json beside this file describes the paths, the responses and their shapes. What differs between sites (the
model, the limits, the examples) is filled in here, and the shapes of requests come from the models that validate them.
"""

import json
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from classifier.contract import Engine, ModelInfo
from web import RELEASE, TITLE
from web.api.hugging_face import ImageClassificationInput
from web.api.open_inference import InferenceRequest
from web.api.tensorflow_serving import PredictRequest
from web.pages.examples import examples_of
from web.pages.sent import FIELD
from web.problems import use_api_errors
from web.settings import Settings

Document = dict[str, Any]

TEMPLATE = Path(__file__).with_suffix(".json").read_text()
COMPONENT = "#/components/"


def blueprint(engine: Engine, settings: Settings) -> Blueprint:
    """Return the route /openapi.json, whose errors are `{"error": sentence}`."""

    def openapi() -> Response:
        return jsonify(document(engine, settings, request.script_root))

    routes = Blueprint("openapi", __name__)
    routes.add_url_rule("/openapi.json", view_func=openapi)
    use_api_errors(routes, "/openapi.json")
    return routes


def document(engine: Engine, settings: Settings, root: str) -> Document:
    """Return the OpenAPI document of the site with this model, served below `root` ("" or "/prefix")."""
    model = engine.model
    template: Document = json.loads(TEMPLATE)
    components = template["components"]
    components["schemas"] |= request_schemas(model.size, settings.max_files)
    fill(components, model, examples_of(engine, settings).names(), settings.max_files)
    schemes = components["securitySchemes"] if settings.token else []
    site = {
        "info": template["info"] | {"title": TITLE, "version": RELEASE},
        "servers": [{"url": root or "/"}],
        "security": [{scheme: []} for scheme in schemes],
        "paths": inlined(template["paths"], components),
        "components": {name: components[name] for name in ("schemas", "securitySchemes")},
    }
    return template | site


def fill(components: Document, model: ModelInfo, examples: list[str], max_files: int) -> None:
    """Put the model, its classes, the examples and the limit into the template's components."""
    schemas = components["schemas"]
    schemas["ModelName"] = components["parameters"]["ModelName"]["schema"] = {"const": model.name}
    schemas["Index"]["maximum"] = len(model.labels) - 1
    if examples:
        schemas["ExampleName"]["enum"] = examples
    form = components["requestBodies"]["Photos"]["content"]["multipart/form-data"]["schema"]
    form["properties"][FIELD]["maxItems"] = max_files


class RequestSchemas(GenerateJsonSchema):
    """Generates schemas without a title for every member."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def request_schemas(size: tuple[int, int], max_files: int) -> Document:
    """Return the schemas of all requests in JSON, for a model that takes images of `size` (h, w)."""
    _, generated = models_json_schema(
        [(kind, "validation") for kind in (InferenceRequest, PredictRequest, ImageClassificationInput)],
        ref_template=COMPONENT + "schemas/{model}",
        schema_generator=RequestSchemas,
    )
    schemas: Document = generated["$defs"]
    images, pixels = schemas["ImagesTensor"]["properties"], schemas["PixelsTensor"]["properties"]
    count = {"type": "integer", "minimum": 1, "maximum": max_files}
    images["shape"] = shape(count)
    pixels["shape"] = shape(count, *({"const": length} for length in (*size, 3)))
    images["data"]["anyOf"][0]["maxItems"] = max_files
    for member in schemas["PredictRequest"]["properties"].values():
        member["anyOf"][0]["maxItems"] = max_files
    return schemas


def shape(*lengths: Document) -> Document:
    """Return the schema of a list of exactly these lengths."""
    return {"type": "array", "prefixItems": list(lengths), "items": False, "minItems": len(lengths)}


def inlined(node: Any, components: Document) -> Any:
    """Return `node` with every reference replaced by its component, except references to schemas."""
    if isinstance(node, list):
        return [inlined(child, components) for child in node]
    if not isinstance(node, dict):
        return node
    kind, _, name = node.get("$ref", "").removeprefix(COMPONENT).partition("/")
    if name and kind != "schemas":
        return inlined(components[kind][name], components)
    return {key: inlined(child, components) for key, child in node.items()}
