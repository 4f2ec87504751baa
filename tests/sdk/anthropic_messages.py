"""The official Anthropic library against a gateway over TLS. Prints one line for each thing that held."""

import os

import anthropic

NOTE = "Patient: Zebulon Quackenbush, MRN 90210557, has asthma."
client = anthropic.Anthropic(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"])
TOOL = {
    "name": "find",
    "description": "Finds a patient.",
    "input_schema": {"type": "object", "properties": {"who": {"type": "string"}}},
}


def ask(**more):
    asked = dict(model="clinical", max_tokens=50, messages=[{"role": "user", "content": NOTE}])
    return dict(asked, **more)


def held(what):
    print("held:", what)


answer = client.messages.create(
    **ask(system=[{"type": "text", "text": "Be brief."}], metadata={"user_id": "u1"}, extra_body={"top_k": 5})
)
assert answer.content[0].text == "About " + NOTE, answer
assert (answer.stop_reason, answer.model, answer.role) == ("end_turn", "clinical", "assistant")
assert answer.id == "msg_" + answer._request_id, (answer.id, answer._request_id)
held("plain")

with client.messages.stream(**ask()) as stream:
    text = "".join(stream.text_stream)
    last = stream.get_final_message()
assert text == last.content[0].text == "About " + NOTE, text
assert last.stop_reason == "end_turn"
kinds = [event.type for event in client.messages.create(**ask(), stream=True)]
assert (kinds[0], kinds[-1]) == ("message_start", "message_stop"), kinds
held("streamed")

whole = client.messages.create(**ask(tools=[TOOL], tool_choice={"type": "any"}))
with client.messages.stream(**ask(tools=[TOOL])) as stream:
    streamed = stream.get_final_message()
for answer in (whole, streamed):
    assert answer.stop_reason == "tool_use", answer
    call = answer.content[-1]
    assert (call.type, call.name, call.input) == ("tool_use", "find", {"who": NOTE}), call
result = {"type": "tool_result", "tool_use_id": call.id, "content": "Zebulon Quackenbush is in ward 3."}
history = [
    {"role": "user", "content": NOTE},
    {"role": "assistant", "content": whole.content},
    {"role": "user", "content": [result]},
]
answer = client.messages.create(**ask(tools=[TOOL], messages=history))
assert answer.content[0].text == "About Zebulon Quackenbush is in ward 3.", answer
held("tools")

assert [model.id for model in client.models.list()] == ["clinical"]
assert client.models.retrieve("clinical").id == "clinical"
held("models")

for wrong, kind, status in [
    (dict(extra_body={"quackenbush": 1}), "invalid_request_error", 400),
    (dict(extra_headers={"x-purpose-of-use": "HMARKT"}), "authentication_error", 401),
    (dict(thinking={"type": "enabled", "budget_tokens": 1024}), "invalid_request_error", 400),
]:
    try:
        client.messages.create(**ask(**wrong))
        raise SystemExit(f"{wrong} was taken")
    except anthropic.APIStatusError as error:
        assert (error.status_code, error.body["error"]["type"]) == (status, kind), error.body
        assert error.request_id == error.body["request_id"], error.body
        assert "quackenbush" not in str(error).lower()
try:
    client.with_options(api_key="nph_" + "0" * 64).messages.create(**ask())
    raise SystemExit("a key that nobody issued was taken")
except anthropic.AuthenticationError as error:
    assert error.body["error"]["code"] == "unauthenticated", error.body
held("errors")
