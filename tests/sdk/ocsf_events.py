"""Holds the events in the file EVENTS, one a line, to the published schema 1.8.0 of OCSF (class API Activity), and what stands in
`attestation_list` to the definitions of 1.9.0-dev, which FIXTURES has."""

import json
import os
import pathlib
from copy import deepcopy

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

fixtures = pathlib.Path(os.environ["FIXTURES"])
published = get_ocsf_schema("1.8.0")


def attribute(name, of):
    """An attribute as a compiled schema has it: the dictionary's type, the object's requirement."""
    typed = {
        "uid": "string_t", "authority_uid": "string_t", "chain_uid": "string_t", "value": "string_t",
        "algorithm": "string_t", "encoding": "string_t", "serialization": "string_t",
        "algorithm_id": "integer_t", "encoding_id": "integer_t", "serialization_id": "integer_t",
        "type_uid": "long_t",
    }
    made = {"caption": name, "description": of.get("description", ""), "requirement": of.get("requirement", "optional")}
    if name in typed:
        made["type"] = typed[name]
        if "enum" in of:
            made["enum"] = of["enum"]
    else:
        made["type"] = "object_t"
        made["object_type"] = {"signatures": "digital_signature"}.get(name, name)
        made["is_array"] = name == "signatures"
    return made


# What 1.9.0-dev adds, put into 1.8.0.
for name in ["attestation", "prev_event", "fingerprint"]:
    defined = json.loads((fixtures / f"{name}.json").read_text())
    attributes = {key: attribute(key, of) for key, of in defined["attributes"].items()}
    entry = {"name": name, "caption": defined["caption"], "attributes": attributes}
    if "constraints" in defined:
        entry["constraints"] = defined["constraints"]
    published["objects"][name] = entry
profile = json.loads((fixtures / "record_integrity.json").read_text())
assert list(profile["attributes"]) == ["attestation_list"]
published["classes"]["api_activity"]["attributes"]["attestation_list"] = {
    "caption": "Attestations", "description": "", "requirement": "optional", "type": "object_t",
    "object_type": "attestation", "is_array": True, "profile": "record_integrity",
}
schema = OcsfJsonSchemaEmbedded(published)
validators = {}
held = {}
for line in pathlib.Path(os.environ["EVENTS"]).read_text().splitlines():
    event = json.loads(line)
    profiles = event["metadata"]["profiles"]
    key = tuple(sorted(profiles))
    if key not in validators:
        made = deepcopy(schema).get_class_schema("api_activity", list(key))
        Draft202012Validator.check_schema(made)
        validators[key] = Draft202012Validator(made)
    errors = [f"{list(error.path)}: {error.message[:200]}" for error in validators[key].iter_errors(event)]
    assert not errors, errors
    assert "attestation_list" in event and event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    # The schema must be able to refuse, or it holds nothing.
    for broken in [
        {**event, "unknown": 1},
        {key: value for key, value in event.items() if key != "actor"},
        {**event, "attestation_list": [{"chain_uid": "a"}]},
        {**event, "attestation_list": [{"fingerprint": {"value": "a"}}]},
        {**event, "severity_id": 7},
    ]:
        assert any(validators[key].iter_errors(broken)), broken
    held[key] = held.get(key, 0) + 1
for key, count in sorted(held.items()):
    print(f"held: {count} with {', '.join(key)}")
