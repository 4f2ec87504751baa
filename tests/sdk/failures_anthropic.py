"""What the official Anthropic library raises, and how often it asks, when a request fails. Prints one line for each thing that held."""

import os

import anthropic


def client(retries=2, key=os.environ["API_KEY"]):
    return anthropic.Anthropic(base_url=os.environ["BASE_URL"], api_key=key, max_retries=retries)


def ask(client, what, **more):
    message = {"role": "user", "content": "please " + what}
    return client.messages.create(model="clinical", max_tokens=50, messages=[message], **more)


def raised(kind, call):
    try:
        call()
    except anthropic.AnthropicError as error:
        assert type(error) is kind, repr(error)
        return error
    raise SystemExit(f"no {kind.__name__}")


def held(what):
    print("held:", what)


error = raised(anthropic.PermissionDeniedError, lambda: ask(client(key=os.environ["DENIED_KEY"]), "answer"))
assert (error.status_code, error.type) == (403, "permission_error"), error.body
assert error.body["error"]["code"] == "denied", error.body
assert error.response.headers["x-should-retry"] == "false"
assert error.request_id == error.body["request_id"], error.body
held("a denial")

error = raised(anthropic.RateLimitError, lambda: ask(client(), "be busy always"))
assert (error.status_code, error.type) == (429, "rate_limit_error"), error.body
assert error.response.headers["retry-after"] == "1", error.response.headers
assert ask(client(), "be busy once").content[0].text == "So it is."
held("a rate limit")

error = raised(anthropic.OverloadedError, lambda: ask(client(retries=0), "be overloaded", stream=True))
assert (error.status_code, error.type) == (529, "overloaded_error"), error.body
held("an overload")

error = raised(anthropic.BadRequestError, lambda: ask(client(), "be too much"))
assert (error.status_code, error.type) == (400, "invalid_request_error"), error.body
assert error.body["error"]["code"] == "upstream-refused", error.body
assert "of the endpoint's own" not in str(error)
held("a request that the endpoint refuses")

said = []


def stream():
    message = {"role": "user", "content": "please break off"}
    with client().messages.stream(model="clinical", max_tokens=50, messages=[message]) as stream:
        said.extend(stream.text_stream)


error = raised(anthropic.APIStatusError, stream)
assert "".join(said) == "So it ", said
assert (error.status_code, error.type) == (200, "api_error"), error.body
assert error.body["error"]["code"] == "upstream-failed", error.body
held("a stream that breaks")
