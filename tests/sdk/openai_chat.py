"""The official OpenAI library against a gateway over TLS. Prints one line for each thing that held."""

import json
import os
import ssl
import socket
from urllib.parse import urlparse

import openai

NOTE = "Patient: Zebulon Quackenbush, MRN 90210557, has asthma."
CA = os.environ["SSL_CERT_FILE"]
BASE = os.environ["BASE_URL"]
client = openai.OpenAI(base_url=BASE + "/v1", api_key=os.environ["API_KEY"])


def ask(**more):
    return client.chat.completions.create(
        model="clinical", messages=[{"role": "user", "content": NOTE}], **more
    )


def held(what):
    print("held:", what)


answer = ask(temperature=0.2, max_completion_tokens=50, user="u1", metadata={"a": "b"})
assert answer.choices[0].message.content == "About " + NOTE, answer
assert answer.choices[0].finish_reason == "stop"
assert answer.model == "clinical" and answer.object == "chat.completion"
assert answer.id == "chatcmpl-" + answer._request_id, (answer.id, answer._request_id)
held("plain")

pieces = [chunk for chunk in ask(stream=True, stream_options={"include_usage": True})]
text = "".join(chunk.choices[0].delta.content or "" for chunk in pieces if chunk.choices)
assert text == "About " + NOTE, text
assert [c.choices[0].finish_reason for c in pieces if c.choices][-1] == "stop"
assert pieces[-1].choices == []
held("streamed")

parts = client.chat.completions.create(
    model="clinical",
    messages=[
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "name": "alma", "content": [{"type": "text", "text": NOTE}]},
    ],
)
assert parts.choices[0].message.content == "About " + NOTE
again = client.chat.completions.create(
    model="clinical",
    messages=[{"role": "user", "content": "hello"}, parts.choices[0].message, {"role": "user", "content": NOTE}],
)
assert again.choices[0].message.content == "About " + NOTE
held("parts, and a message handed back")

parameters = {"type": "object", "properties": {"who": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "find", "description": "Finds a patient.", "parameters": parameters}}
whole = ask(tools=[TOOL], tool_choice="required").choices[0]
(call,) = whole.message.tool_calls
assert (whole.finish_reason, call.function.name) == ("tool_calls", "find"), whole
choices = [chunk.choices[0] for chunk in ask(tools=[TOOL], stream=True) if chunk.choices]
deltas = [delta.function for choice in choices for delta in choice.delta.tool_calls or []]
assert (choices[-1].finish_reason, deltas[0].name) == ("tool_calls", "find"), choices
streamed = "".join(delta.arguments or "" for delta in deltas)
assert json.loads(streamed) == json.loads(call.function.arguments) == {"who": NOTE}, (streamed, call)
answer = client.chat.completions.create(
    model="clinical",
    tools=[TOOL],
    messages=[
        {"role": "user", "content": NOTE},
        whole.message,
        {"role": "tool", "tool_call_id": call.id, "content": "Zebulon Quackenbush is in ward 3."},
    ],
)
assert answer.choices[0].message.content == "About Zebulon Quackenbush is in ward 3.", answer
held("tools")

models = [model.id for model in client.models.list()]
assert models == ["clinical"], models
assert client.models.retrieve("clinical").id == "clinical"
assert client.models.retrieve("served by the route for any".replace(" ", "/")).object == "model"
held("models")

for wrong, code, status in [
    (dict(extra_body={"quackenbush": 1}), "malformed", 400),
    (dict(extra_headers={"x-purpose-of-use": "HMARKT"}), "unauthenticated", 401),
    (dict(n=2), "malformed", 400),
]:
    try:
        ask(**wrong)
        raise SystemExit(f"{wrong} was taken")
    except openai.APIStatusError as error:
        assert (error.status_code, error.code) == (status, code), error
        assert "quackenbush" not in str(error).lower()
try:
    client.with_options(api_key="nph_" + "0" * 64).models.list()
    raise SystemExit("a key that nobody issued was taken")
except openai.AuthenticationError as error:
    assert error.type == "authentication_error", error
try:
    client.models.retrieve("no such model")
    raise SystemExit("a model that is not there was found")
except openai.NotFoundError as error:
    assert error.param == "model", error
held("errors")

address = urlparse(BASE)
old = ssl.create_default_context(cafile=CA)
old.maximum_version = ssl.TLSVersion.TLSv1_2
try:
    with socket.create_connection((address.hostname, address.port)) as plain:
        old.wrap_socket(plain, server_hostname=address.hostname)
    raise SystemExit("TLS 1.2 was spoken")
except ssl.SSLError:
    held("no TLS 1.2")

new = ssl.create_default_context(cafile=CA)
new.set_alpn_protocols(["h2"])
with socket.create_connection((address.hostname, address.port)) as plain:
    with new.wrap_socket(plain, server_hostname=address.hostname) as tls:
        assert (tls.version(), tls.selected_alpn_protocol()) == ("TLSv1.3", "h2")
held("TLS 1.3, HTTP/2")
