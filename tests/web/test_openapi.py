"""/openapi.json describes the site as it is; schemathesis checks the responses against it in `test_clients.py`."""

import json
import re
import tomllib

import pytest

from web import openapi, problems
from web.settings import ROOT

METHODS = {"GET", "POST", "DELETE", "PUT", "PATCH"}


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json


def operations(document):
    return [operation for path in document["paths"].values() for operation in path.values()]


def every(node, key):
    """Return all values under a key, anywhere in a document."""
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == key)
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from every(child, key)


def test_it_describes_every_route_and_no_other(client, document):
    rules = [rule for rule in client.application.url_map.iter_rules() if not rule.endpoint.endswith("static")]
    served = {
        (re.sub(r"<(?:\w+:)?(.*?)>", r"{\1}", rule.rule), method) for rule in rules for method in rule.methods & METHODS
    }
    told = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert told == served


def test_it_describes_every_parameter_of_every_path(document):
    for path, methods in document["paths"].items():
        for operation in methods.values():
            told = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"]
            assert told == re.findall("{(.*?)}", path)


def test_every_shape_is_described_and_used(document):
    used = {ref.removeprefix("#/components/schemas/") for ref in every(document, "$ref")}
    assert used == set(document["components"]["schemas"])


def test_every_component_of_the_template_is_used():
    template = json.loads(openapi.TEMPLATE)
    used = {ref.removeprefix("#/components/") for ref in every(template, "$ref")}
    kinds = ("parameters", "requestBodies", "responses", "schemas")
    assert used == {f"{kind}/{name}" for kind in kinds for name in template["components"][kind]}


def test_requests_are_described_by_the_models_that_validate_them(document):
    schemas = document["components"]["schemas"]
    assert schemas["InferenceParameters"]["properties"]["top_k"]["anyOf"][0] == {"type": "integer", "minimum": 1}
    assert schemas["PixelsTensor"]["properties"]["shape"]["prefixItems"][1:] == [{"const": n} for n in (224, 224, 3)]
    assert schemas["ImagesTensor"]["properties"]["data"]["anyOf"][0]["maxItems"] == 16


def test_every_operation_has_a_name_of_its_own(document):
    names = [operation["operationId"] for operation in operations(document)]
    assert len(names) == len(set(names))


def test_it_knows_every_status_that_errors_have(document):
    told = {int(status) for operation in operations(document) for status in operation["responses"]}
    assert set(map(int, problems.STATUS.values())) <= told


def test_its_release_is_the_package_s():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == openapi.RELEASE


@pytest.mark.parametrize(("prefix", "server"), [("", "/"), ("/vision", "/vision")])
def test_it_says_where_the_site_is(make_client, prefix, server):
    client = make_client(proxies=1)
    headers = {"X-Forwarded-Prefix": prefix} if prefix else {}
    assert client.get("/openapi.json", headers=headers).json["servers"] == [{"url": server}]


def test_it_asks_for_the_token_where_there_is_one(make_client, document):
    assert document["security"] == []
    guarded = make_client(token="secret").get("/openapi.json", headers={"Authorization": "Bearer secret"})
    assert guarded.json["security"] == [{"bearer": []}, {"basic": []}]


def test_it_tells_what_wants_no_token(make_client):
    client = make_client(token="secret")
    document = client.get("/openapi.json", headers={"Authorization": "Bearer secret"}).json
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            is_refused = client.open(path, method=method.upper()).status_code == 401
            assert is_refused == (operation.get("security") != []), path


def test_it_knows_the_model_and_its_limits(make_client):
    document = make_client(max_files=3).get("/openapi.json").json
    parameters = document["paths"]["/v2/models/{name}/infer"]["post"]["parameters"]
    assert parameters[0]["schema"] == {"const": "toy"}
    photos = document["paths"]["/"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert photos["properties"]["fileImage"]["maxItems"] == 3
