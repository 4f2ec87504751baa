"""Write Nephron plugins in Python.

A plugin is a module `plugin` with one class for each interface that its world exports. The classes and types are those of
`wit_world`, which is generated from the contract in `sdk/wit`; here is what is not in a contract: settings that are refused with
all their faults at once, and places in a text as the contract counts them.

`configure` is called once, and the memory it leaves is frozen: each later call starts from that image, in a fresh instance. So
parse and compile there, keep the result in the module, and expect nothing to be remembered from one call to the next. There is no
clock, no randomness, no file and no network: time is an input, and what `random` gives is the same in each call. A lent key is
used and left alone: the call takes it back; `nephron_sdk.keyed`, for transformers, says more, and `nephron_sdk.entry` is for exporters.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Optional

from componentize_py_types import Err
from wit_world.exports.plugin import Descriptor, Problem
from wit_world.imports import types

__all__ = ["Descriptor", "Problem", "Settings", "invalid", "places", "read_json", "texts"]


# A text of JSON, whose brackets do not count.
TEXT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')


def invalid(message: str) -> Err:
    """An error for input that cannot be judged. It must repeat nothing of the input."""
    return Err(types.Error_InvalidInput(message))


def read_json(text: str) -> Any:
    """JSON, or a `ValueError`: also where it is more than 64 deep, which could end the call (the reader's stack is the sandbox's), or
    holds half of a surrogate pair, which is no text to the host."""
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", TEXT.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > 64:
            raise ValueError("it is nested too deep")
    read = json.loads(text)
    json.dumps(read, ensure_ascii=False).encode()
    return read


class Settings:
    """The settings of a plugin, with every fault in them.

    Take each key that there is, then call `done`, which refuses the settings if anything was wrong or left over.
    """

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._left: dict[str, Any] = {}
        try:
            whole = read_json(text)
        except ValueError as error:
            self.problem(None, f"this is no JSON: {error}")
            return
        if isinstance(whole, dict):
            self._left = whole
        else:
            self.problem(None, "settings are an object")

    def problem(self, key: Optional[str], message: str) -> None:
        """Notes a fault, and goes on."""
        self.problems.append(Problem(key, message))

    def take(self, key: str, default: Any, fits: Callable[[Any], bool], form: str) -> Any:
        """The value of a key, or `default` without it or where it does not fit: `form` then says what would."""
        if key not in self._left:
            return default
        value = self._left.pop(key)
        if fits(value):
            return value
        self.problem(key, f"it must be {form}")
        return default

    def done(self) -> None:
        """Refuses the settings if there were faults."""
        for key in self._left:
            self.problem(key, "no such key; take it out, or correct its spelling")
        if self.problems:
            raise Err(self.problems)


def texts(value: Any) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def places(pattern: re.Pattern[str], text: str, group: int | str = 0) -> Iterator[tuple[int, int]]:
    """Where a pattern, or one group of it, stands in a text: in bytes of UTF-8, as spans have it, and not in characters."""
    character = byte = 0
    for found in pattern.finditer(text):
        first, last = found.span(group)
        start = byte + len(text[character:first].encode())
        character, byte = last, start + len(text[first:last].encode())
        yield start, byte
