"""Finds record numbers behind a label: `{"labels": ["MRN"], "digits": 8}`."""

import re
from typing import Optional

from nephron_sdk import Descriptor, Settings, places, texts
from wit_world import exports
from wit_world.imports.types import Message, Part_Blob, RequestInfo, Span

# Compiled by `configure`, and there in each call.
NUMBER: Optional[re.Pattern[str]] = None


class Plugin(exports.Plugin):
    def describe(self) -> Descriptor:
        return Descriptor("python-detector", "0.1.0", None)

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
