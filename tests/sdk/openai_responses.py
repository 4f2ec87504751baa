"""Responses and Embeddings by the official OpenAI library, over TLS. Prints one line for each thing that held."""

import os

import openai

NOTE = "Patient: Zebulon Quackenbush, MRN 90210557, has asthma."
client = openai.OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key=os.environ["API_KEY"])
TOOL = {
    "type": "function",
    "name": "find",
    "description": "Finds a patient.",
    "parameters": {"type": "object", "properties": {"who": {"type": "string"}}},
    "strict": False,
}


def held(what):
    print("held:", what)


answer = client.responses.create(model="clinical", input=NOTE, instructions="Be brief.", store=False, user="u1")
assert answer.output_text == "About " + NOTE, answer
assert (answer.status, answer.model) == ("completed", "clinical")
assert answer.id == "resp_" + answer._request_id, (answer.id, answer._request_id)
held("plain")

with client.responses.stream(model="clinical", input=NOTE) as stream:
    text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    last = stream.get_final_response()
assert text == last.output_text == "About " + NOTE, text
numbers = [event.sequence_number for event in client.responses.create(model="clinical", input=NOTE, stream=True)]
assert numbers == list(range(len(numbers))), numbers
held("streamed")

whole = client.responses.create(model="clinical", input=NOTE, tools=[TOOL], tool_choice="required")
with client.responses.stream(model="clinical", input=NOTE, tools=[TOOL]) as stream:
    streamed = stream.get_final_response()
for answer in (whole, streamed):
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert (call.name, call.arguments) == ("find", '{"who":"' + NOTE + '"}'), call
history = [{"role": "user", "content": NOTE}, *whole.output]
history.append({"type": "function_call_output", "call_id": call.call_id, "output": "Quackenbush is in ward 3."})
answer = client.responses.create(model="clinical", input=history, tools=[TOOL])
assert answer.output_text == "About Quackenbush is in ward 3.", answer
again = client.responses.create(model="clinical", input=[*answer.output, {"role": "user", "content": NOTE}])
assert again.output_text == "About " + NOTE, again
held("tools, and items handed back")

for wrong, status in [
    (dict(previous_response_id="resp_1"), 400),
    (dict(extra_body={"quackenbush": 1}), 400),
]:
    try:
        client.responses.create(model="clinical", input=NOTE, **wrong)
        raise SystemExit(f"{wrong} was taken")
    except openai.APIStatusError as error:
        assert (error.status_code, error.code) == (status, "malformed"), error
held("errors")

# The library asks for base64 by itself, and decodes it.
vectors = client.embeddings.create(model="clinical", input=[NOTE, "hello"])
assert [vector.index for vector in vectors.data] == [0, 1]
assert [len(vector.embedding) for vector in vectors.data] == [3, 3]
assert vectors.data[1].embedding[1:] == [0.5, -2.0], vectors.data[1]
numbers = client.embeddings.create(model="clinical", input="hello", encoding_format="float")
assert numbers.data[0].embedding == vectors.data[1].embedding, numbers
assert numbers.usage.prompt_tokens == 4
try:
    client.embeddings.create(model="clinical", input=[[1, 2, 3]])
    raise SystemExit("numbers of a tokenizer were taken")
except openai.BadRequestError as error:
    assert error.param == "input", error
held("embeddings")
