"""Holds the OpenAPI document of a gateway, by the validator of its own registry: the document itself, each of its examples, and
what was really said and answered, which stands in the file EXCHANGES."""

import json
import os
import re
import urllib.request

from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

with urllib.request.urlopen(os.environ["BASE_URL"] + "/openapi.json") as response:
    assert response.headers["content-type"] == "application/json", response.headers
    document = json.load(response)
OpenAPIV31SpecValidator(document).validate()
print("held: it is an OpenAPI document")

registry = Registry().with_resource("urn:document", DRAFT202012.create_resource(document))


def part(pointer):
    """The part at a JSON pointer, with a reference followed."""
    found = document
    for step in pointer.split("/")[1:]:
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return part(found["$ref"][1:]) if "$ref" in found else (pointer, found)


def check(pointer, value, what):
    schema = {"$ref": "urn:document#" + pointer}
    validator = Draft202012Validator(schema, registry=registry, format_checker=FormatChecker())
    errors = [f"{what}: {error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    assert not errors, errors


def step(text):
    return "/" + text.replace("~", "~0").replace("/", "~1")


examples = 0
bodies = []
for path, methods in document["paths"].items():
    for method, operation in methods.items():
        at = f"/paths{step(path)}/{method}"
        if "requestBody" in operation:
            bodies.append(f"{at}/requestBody")
        bodies += [f"{at}/responses/{status}" for status in operation["responses"]]
for body in bodies:
    at, found = part(body)
    for kind, media in found.get("content", {}).items():
        given = [example["value"] for example in media.get("examples", {}).values()]
        given += [media["example"]] if "example" in media else []
        for example in given:
            check(f"{at}/content{step(kind)}/schema", example, body)
            examples += 1
assert examples > 40, examples
print("held: every example is as its schema says")

seen = set()
with open(os.environ["EXCHANGES"]) as file:
    exchanges = json.load(file)
for exchange in exchanges:
    method, status = exchange["method"].lower(), str(exchange["status"])
    paths = [
        path
        for path in document["paths"]
        if re.fullmatch(re.sub(r"\{[a-z]+\}", "[^/]+", path), exchange["path"])
    ]
    assert len(paths) == 1, exchange["path"]
    at = f"/paths{step(paths[0])}/{method}"
    what = f"{method} {exchange['path']} {status}"
    if status.startswith("2") and exchange["request"] is not None:
        check(f"{at}/requestBody/content/application~1json/schema", exchange["request"], what)
    answer, _ = part(f"{at}/responses/{status}")
    check(f"{answer}/content/application~1json/schema", exchange["answer"], what)
    seen.add((method, paths[0], status.startswith("2")))
for path, methods in document["paths"].items():
    for method, operation in methods.items():
        if "own" in operation["tags"]:
            assert (method, path, True) in seen, f"{method} {path} was never answered"
            assert (method, path, False) in seen, f"{method} {path} was never refused"
print("held: every answer is as its schema says")
