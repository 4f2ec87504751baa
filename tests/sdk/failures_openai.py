"""What the official OpenAI library raises, and how often it asks, when a request fails. Prints one line for each thing that held."""

import os

import openai

BASE = os.environ["BASE_URL"] + "/v1"


def client(retries=2, key=os.environ["API_KEY"]):
    return openai.OpenAI(base_url=BASE, api_key=key, max_retries=retries)


def ask(client, what, **more):
    message = {"role": "user", "content": "please " + what}
    return client.chat.completions.create(model="clinical", messages=[message], **more)


def raised(kind, call):
    try:
        call()
    except openai.OpenAIError as error:
        assert type(error) is kind, repr(error)
        return error
    raise SystemExit(f"no {kind.__name__}")


def held(what):
    print("held:", what)


error = raised(openai.PermissionDeniedError, lambda: ask(client(key=os.environ["DENIED_KEY"]), "answer"))
assert (error.status_code, error.code, error.type) == (403, "denied", "permission_error"), error.body
assert error.response.headers["x-should-retry"] == "false"
assert error.request_id == error.body["event"], error.body
held("a denial")

error = raised(openai.RateLimitError, lambda: ask(client(), "be busy always"))
assert (error.status_code, error.code, error.type) == (429, "upstream-busy", "rate_limit_error"), error.body
assert error.response.headers["retry-after"] == "1", error.response.headers
assert ask(client(), "be busy once").choices[0].message.content == "So it is."
held("a rate limit")

error = raised(openai.InternalServerError, lambda: ask(client(retries=0), "be overloaded", stream=True))
assert (error.status_code, error.code) == (503, "upstream-busy"), error.body
held("an overload")

error = raised(openai.BadRequestError, lambda: ask(client(), "be too much"))
assert (error.status_code, error.code) == (400, "upstream-refused"), error.body
assert "of the endpoint's own" not in str(error)
held("a request that the endpoint refuses")

said = []


def stream():
    for chunk in ask(client(), "break off", stream=True):
        said.extend(choice.delta.content or "" for choice in chunk.choices)


error = raised(openai.APIError, stream)
assert "".join(said) == "So it ", said
assert (error.code, error.body["reasons"]) == ("upstream-failed", ["broken-answer"]), error.body
held("a stream that breaks")

said = []


def respond():
    for event in client().responses.create(model="clinical", input="please break off", stream=True):
        said.append(event.delta if event.type == "response.output_text.delta" else "")


error = raised(openai.APIError, respond)
assert "".join(said) == "So it ", said
assert error.code == "upstream-failed", error.body
held("a stream of Responses that breaks")
