"""Finds record numbers behind a label, and puts a pseudonym in the place of whatever was found: `{"labels": ["MRN"], "digits": 8}`.

A pseudonym is made with the lent key: nobody without it can try values out, and the same value of the same kind has the same one in its
tenant, for one purpose of use. That is more than Safe Harbor allows (45 CFR 164.514(c)): an expert must have determined that the risk
is very small (164.514(b)(1)).
"""

import re
from typing import Optional

from componentize_py_types import Err
from nephron_sdk import Descriptor, Settings, invalid, places, texts
from nephron_sdk.keyed import Key, take_known
from wit_world import exports
from wit_world.exports.transformer import Outcome
from wit_world.imports import types
from wit_world.imports.types import Message, Part_Blob, Part_Text, RequestInfo, Span

# Compiled by `configure`, and there in each call.
NUMBER: Optional[re.Pattern[str]] = None


class Plugin(exports.Plugin):
    def describe(self) -> Descriptor:
        return Descriptor("python-transformer", "0.1.0", None)

    def configure(self, settings: str) -> None:
        global NUMBER
        keys = Settings(settings)
        labels = keys.take("labels", [], texts, "a list of texts, such as `MRN`")
        digits = keys.take(
            "digits",
            8,
            lambda value: type(value) is int and 0 < value <= 32,
            "a whole number from 1 to 32",
        )
        keys.done()
        label = "|".join(map(re.escape, labels))
        NUMBER = re.compile(rf"(?:{label})[ :#]*([0-9]{{{digits}}})(?![0-9])") if labels else None


class Detector(exports.Detector):
    def detect(self, info: RequestInfo, messages: list[Message]) -> list[Span]:
        if NUMBER is None:
            return []
        return [
            Span(at, which, start, end, "mrn", 1.0, "labelled-number")
            for at, message in enumerate(messages)
            for which, part in enumerate(message.parts)
            if not isinstance(part, Part_Blob)
            for start, end in places(NUMBER, part.value, 1)
        ]


class Transformer(exports.Transformer):
    def deidentify(
        self, info: RequestInfo, messages: list[Message], found: list[Span], key: Key
    ) -> Outcome:
        # What is known of the patient comes as a last message, and goes no further.
        take_known(messages)
        codes = Codes(key)
        replaced = 0
        for at, message in enumerate(messages):
            for which, part in enumerate(message.parts):
                spans = [span for span in found if (span.message, span.part) == (at, which)]
                if isinstance(part, Part_Text):
                    part.value = rewritten(part.value, spans, codes)
                elif spans:
                    # A pseudonym in the place of a number would be no JSON.
                    raise Err(types.Error_Unsupported("only plain text is rewritten by this plugin"))
                replaced += len(spans)
        return Outcome(messages, replaced, None)

    def reidentify(self, info: RequestInfo, messages: list[Message], key: Key) -> Outcome:
        raise Err(types.Error_Unsupported("no value can be made of a pseudonym again"))


class Codes:
    """Pseudonyms by kind and value. The key is asked once for each: every use of it is an entry in the log."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._made: dict[tuple[str, str], str] = {}

    def of(self, kind: str, value: str) -> str:
        if (kind, value) not in self._made:
            try:
                mac = self._key.mac(f"{kind}\0{value}".encode())
            except Err:
                raise Err(types.Error_Unavailable("the key does not authenticate")) from None
            self._made[kind, value] = f"[{kind.upper()} {mac[:8].hex().upper()}]"
        return self._made[kind, value]


def rewritten(text: str, spans: list[Span], codes: Codes) -> str:
    """`text` with a pseudonym in the place of each span. No value stands in an error."""
    whole = text.encode()
    written, end = "", 0
    for span in sorted(spans, key=lambda span: span.start):
        if not end <= span.start <= span.end <= len(whole):
            raise invalid("spans overlap, or end outside of the text")
        try:
            before, value = whole[end : span.start].decode(), whole[span.start : span.end].decode()
        except UnicodeDecodeError:
            raise invalid("a span ends within a character") from None
        written += before + codes.of(span.kind, value)
        end = span.end
    return written + whole[end:].decode()
