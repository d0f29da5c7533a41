"""What /openapi.json tells: every route of the site, what it takes, and everything that it may answer."""

from collections.abc import Mapping
from http import HTTPStatus

from classifier.contract import ModelInfo
from web.api.open_inference import HEADER_LENGTH, IMAGES, VERSION
from web.openapi_schemas import COUNT, ID, IMAGE, STRING, Schema, listed, record, ref, schemas
from web.pages.examples import examples_of
from web.pages.upload import EXAMPLE, FIELD
from web.settings import Settings

TITLE = "What is in this photo?"
RELEASE = "0.1.0"
JSON, PROBLEM, HTML, PNG, JPEG = "application/json", "application/problem+json", "text/html", "image/png", "image/jpeg"
FORM, BYTES, TEXT = "multipart/form-data", "application/octet-stream", "text/plain"

RED_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"  # a PNG, in base64
)

ALWAYS = (400, 401, 500)  # a host name or a token that is not ours, and our mistakes
ASKING = (413, 415, 422, 429, 503)  # what can be wrong with photos, and with asking now
BUSY = (503,)


def document(model: ModelInfo, settings: Settings, root: str) -> Schema:
    """The OpenAPI document of the site with this model, served below `root` ("" or "/prefix")."""
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}, "basic": {"type": "http", "scheme": "basic"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": RELEASE, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": root or "/"}],
        "paths": pages(examples_of(settings).names(), settings.max_files)
        | results(len(model.labels))
        | health()
        | protocol(model)
        | task(model),
        "components": {"schemas": schemas(model, settings.max_files), "securitySchemes": schemes},
        "security": [{scheme: []} for scheme in schemes] if settings.token else [],
    }


def pages(examples: list[str], max_files: int) -> Schema:
    example = {"enum": examples} if examples else STRING
    images = listed(IMAGE, minItems=1, maxItems=max_files)
    form = {"schema": record({FIELD: images})}
    picked = {"schema": record({EXAMPLE: example})}
    answered = {"200": content("The answers, one per photo", {HTML: STRING, JSON: ref("Results")})}
    body = {"required": True, "content": {FORM: form, "application/x-www-form-urlencoded": picked}}
    return {
        "/": {
            "get": operation("home", "The page", {"200": content("The page with the form", {HTML: STRING})}),
            "post": operation("classify", "Classify photos", answered, page_errors(404, *ASKING), body=body),
        },
        "/examples/{name}": {
            "get": operation(
                "example",
                "A picture to try the site with",
                {"200": content("The picture", dict.fromkeys((JPEG, PNG, "image/webp"), IMAGE))},
                page_errors(404),
                [in_path("name", example)],
            )
        },
    }


def results(classes: int) -> Schema:
    told = {"200": content("The result", {HTML: STRING, JSON: ref("Results")})}
    page = {"200": content("The page", {HTML: STRING})}
    picture = {"200": content("The picture", {JPEG: IMAGE})}
    heat = {"200": content("A layer over the picture, or its numbers", {PNG: IMAGE, JSON: ref("Why")})}
    said = record({"right": {"enum": ["yes", "no"]}, "label": STRING, "keep": STRING}, optional=("label", "keep"))
    form = {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": said}}}
    gone, id = page_errors(404), [in_path("id", ID)]
    why, which = page_errors(404, 422, 429, 503), in_query("class", {**COUNT, "maximum": classes - 1})
    return {
        "/results/{id}": {
            "get": operation("result", "A kept result", told, gone, id),
            "delete": operation("delete", "Delete it", {"204": {"description": "It is deleted"}}, gone, id),
        },
        "/results/{id}/delete": {
            "post": operation("delete_by_form", "Delete it, from a form", page, page_errors(404, 429), id)
        },
        "/results/{id}/image": {"get": operation("image", "Its picture", picture, gone, id)},
        "/results/{id}/why": {"get": operation("why", "Where a class was seen (Grad-CAM)", heat, why, [*id, which])},
        "/results/{id}/feedback": {
            "post": operation("give_feedback", "Was it right?", told, page_errors(404, 413, 429), id, form)
        },
    }


def health() -> Schema:
    alive, ready = content("Yes", {JSON: ref("Alive")}), content("Yes", {JSON: ref("Ready")})
    figures = content("The figures", {TEXT: STRING})
    return {
        "/healthz": unguarded(
            {"get": operation("healthy", "Whether the model comes back", {"200": alive}, page_errors(*BUSY))}
        ),
        "/readyz": unguarded(
            {"get": operation("ready", "Whether it takes photos", {"200": ready}, page_errors(*BUSY))}
        ),
        "/metrics": unguarded({"get": operation("metrics", "For Prometheus", {"200": figures}, page_errors(403))}),
        "/openapi.json": {
            "get": operation("openapi", "This", {"200": content("This", {JSON: {"type": "object"}})}, errors())
        },
    }


def protocol(model: ModelInfo) -> Schema:
    """The Open Inference Protocol v2, with and without the version of the model."""

    def get(id: str, summary: str, schema: str, *statuses: int, parameters: list[Schema] | None = None) -> Schema:
        told = {"200": content(summary, {JSON: ref(schema)})}
        return {"get": operation(id, summary, told, errors(*statuses), parameters)}

    paths = {
        "/v2": get("server", "The server", "Server"),
        "/v2/health/live": unguarded(get("live", "Whether the model comes back", "ServerLive", *BUSY)),
        "/v2/health/ready": unguarded(get("server_ready", "Whether there is room for a photo", "ServerReady", *BUSY)),
    }
    for path, suffix in (("/v2/models/{name}", ""), ("/v2/models/{name}/versions/{version}", "_version")):
        own = [in_path("name", {"const": model.name})] + [in_path("version", {"const": VERSION})] * bool(suffix)
        paths[path] = get(f"model{suffix}", "The model", "Model", 404, parameters=own)
        ready = get(f"model_ready{suffix}", "Whether it is ready", "ModelReady", 404, *BUSY, parameters=own)
        paths[f"{path}/ready"] = ready
        paths[f"{path}/infer"] = {"post": infer(f"infer{suffix}", own)}
    return paths


def infer(id: str, parameters: list[Schema]) -> Schema:
    length = {"name": HEADER_LENGTH, "in": "header", "schema": COUNT, "description": "Of the JSON, before binary data"}
    answered = content("The best classes", {JSON: ref("InferenceResponse"), BYTES: IMAGE})
    answered["headers"] = {HEADER_LENGTH: {"schema": COUNT}}
    tensor = {"name": IMAGES, "datatype": "BYTES", "shape": [1], "data": [RED_PIXEL]}
    asked = {"schema": ref("InferenceRequest"), "example": {"parameters": {"top_k": 3}, "inputs": [tensor]}}
    body = {"required": True, "content": {JSON: asked, BYTES: {"schema": IMAGE}}}
    known = errors(404, *ASKING)
    return operation(id, "Classify images or pixels", {"200": answered}, known, [*parameters, length], body)


def task(model: ModelInfo) -> Schema:
    images = {media: {"schema": IMAGE} for media in ("image/*", BYTES)}
    example = {"inputs": RED_PIXEL, "parameters": {"top_k": 3}}
    asked = {"schema": ref("ImageClassificationInput"), "example": example}
    body = {"required": True, "content": {**images, JSON: asked}}
    told = {"200": content("The best classes", {JSON: ref("ImageClassificationOutput")})}
    name = [in_path("name", {"const": model.name})]
    return {
        "/models/{name}": {
            "post": operation("image_classification", "Classify an image", told, errors(404, *ASKING), name, body)
        }
    }


def operation(
    id: str,
    summary: str,
    responses: Schema,
    others: Schema | None = None,
    parameters: list[Schema] | None = None,
    body: Schema | None = None,
) -> Schema:
    told = {"operationId": id, "summary": summary, "responses": responses | (others or page_errors())}
    return told | {"parameters": parameters or []} | ({"requestBody": body} if body else {})


def unguarded(path: Schema) -> Schema:
    """A path that answers without the token."""
    return {method: operation | {"security": []} for method, operation in path.items()}


def content(description: str, schemas: Mapping[str, Schema]) -> Schema:
    return {"description": description, "content": {media: {"schema": schema} for media, schema in schemas.items()}}


def page_errors(*statuses: int) -> Schema:
    """Errors on the page or, where JSON is preferred, as RFC 9457 documents."""
    return told_errors(statuses, {HTML: STRING, PROBLEM: ref("Problem")})


def errors(*statuses: int) -> Schema:
    """Errors of the routes for programs."""
    return told_errors(statuses, {JSON: ref("Error")})


def told_errors(statuses: tuple[int, ...], schemas: Mapping[str, Schema]) -> Schema:
    return {str(status): content(HTTPStatus(status).phrase, schemas) for status in sorted({*ALWAYS, *statuses})}


def in_path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def in_query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "required": True, "schema": schema}
