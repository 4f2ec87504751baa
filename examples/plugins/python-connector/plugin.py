"""Speaks to servers with Ollama's API (POST /api/chat): lines of JSON, each with the next piece of the answer.

Settings: `{"path": "/api/chat", "credential": "name"}`, each of which may be left out.
"""

import json
from typing import Any, Optional

from componentize_py_types import Err
from nephron_sdk import Descriptor, Settings, read_json
from wit_world import exports
from wit_world.exports import connector
from wit_world.exports.connector import (
    ChatCall,
    Event,
    Event_Model,
    Event_Stopped,
    Event_Text,
    Event_Used,
    Plan_Call,
    Usage,
)
from wit_world.imports import types
from wit_world.imports.exchange import HttpRequest

PATH = "/api/chat"
CREDENTIAL: Optional[str] = None


class Plugin(exports.Plugin):
    def describe(self) -> Descriptor:
        return Descriptor("python-connector", "0.1.0", None)

    def configure(self, settings: str) -> None:
        global PATH, CREDENTIAL
        keys = Settings(settings)
        PATH = keys.take(
            "path",
            "/api/chat",
            lambda value: isinstance(value, str) and value.startswith("/"),
            "a path, such as `/api/chat`",
        )
        CREDENTIAL = keys.take(
            "credential", None, lambda value: isinstance(value, str), "the name of a credential"
        )
        keys.done()


class Connector(exports.Connector):
    def encode(self, info: types.RequestInfo, call: ChatCall) -> connector.Plan:
        # What cannot be said is refused by its name: left out, the answer would be one to another question.
        for option in call.options:
            raise unsupported(option.name)
        options: dict[str, Any] = {}
        if call.max_tokens is not None:
            options["num_predict"] = call.max_tokens
        if call.temperature is not None:
            options["temperature"] = call.temperature
        if call.stop:
            options["stop"] = call.stop
        messages = [
            {"role": message.role, "content": "".join(map(text, message.parts))}
            for message in call.messages
        ]
        body = {
            "model": call.model,
            "stream": call.want_stream,
            "messages": messages,
            "options": options,
        }
        headers = [("content-type", "application/json")]
        encoded = json.dumps(body, ensure_ascii=False).encode()
        return Plan_Call(HttpRequest("POST", PATH, headers, encoded, CREDENTIAL))


class Decoder(connector.Decoder):
    """One response. Bytes come cut anywhere; a line is read when its end is there."""

    def __init__(self, status: int, headers: list[tuple[str, str]]) -> None:
        self._failed = status != 200
        self._rest = bytearray()
        self._named = False
        self._ended = False

    def push(self, chunk: bytes) -> list[Event]:
        # A failure is told by `finish`: its body could repeat what was asked, and nobody reads it.
        if self._failed:
            return []
        self._rest += chunk
        if b"\n" not in chunk:
            return []
        *lines, self._rest = self._rest.split(b"\n")
        return [event for line in lines for event in self._line(line)]

    @classmethod
    def finish(cls, this: "Decoder") -> list[Event]:
        if this._failed:
            raise unavailable("the server refused the call")
        events = this._line(this._rest)
        if not this._ended:
            raise unavailable("the answer was cut off")
        return events

    def _line(self, line: bytearray) -> list[Event]:
        if not line.strip():
            return []
        try:
            piece = read_json(line.decode())
        except ValueError:
            raise unavailable("the answer is no JSON") from None
        message = piece.get("message") if isinstance(piece, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str):
            raise unavailable("the answer is none of this API")
        events: list[Event] = []
        model = piece.get("model")
        if not self._named and isinstance(model, str):
            events.append(Event_Model(model))
            self._named = True
        if content:
            events.append(Event_Text(content))
        if piece.get("done") is True:
            self._ended = True
            why = piece.get("done_reason")
            events.append(Event_Stopped(why if isinstance(why, str) else "stop"))
            used = Usage(count(piece.get("prompt_eval_count")), count(piece.get("eval_count")))
            events.append(Event_Used(used))
        return events


def text(part: types.Part) -> str:
    if isinstance(part, types.Part_Blob):
        raise unsupported(part.value.media_type)
    return part.value


def count(value: Any) -> Optional[int]:
    return value if type(value) is int and 0 <= value < 1 << 64 else None


def unsupported(name: str) -> Err:
    return Err(types.Error_Unsupported(f"`{name}` cannot be said to this server"))


def unavailable(message: str) -> Err:
    return Err(types.Error_Unavailable(message))
