"""What transformers share: a lent key that cannot be released by mistake, and what the application itself knows of the patient.

A key is lent for one call. Use it as often as needed, anywhere in the call; when the plugin returns or raises `Err`, what lies between
it and the host gives the key back. Giving it back by hand (`with key:`, `key.__exit__`) would do so twice, which traps. So both raise a
`TypeError` once this module is imported, in a plugin's own tests too. A key that is kept for a later call is none any more.
"""

from dataclasses import dataclass

from nephron_sdk import invalid, read_json
from wit_world.imports.keys import Key
from wit_world.imports.types import Message, Part_Json

__all__ = ["Fact", "Key", "take_known"]


def _is_lent(_key: Key, *_: object) -> bool:
    raise TypeError("this key is lent: use it, and leave it alone; the call gives it back by itself")


# Nothing in the contract makes a key one's own: there is none that may be released.
Key.__enter__ = Key.__exit__ = _is_lent  # type: ignore[assignment, method-assign]


@dataclass(frozen=True)
class Fact:
    """One thing that is known of somebody: its kind as spans have it, whose it is (`patient`, `relative`, `staff`, `encounter`), and
    the value as the application has it."""

    kind: str
    of: str
    value: str


def take_known(messages: list[Message]) -> list[Fact]:
    """Takes the message of role `known` out of `messages`, if there is one; it is the last, so that spans keep their indexes. It must
    not come back: what it says would leave for the model."""
    if not messages or messages[-1].role != "known":
        return []
    facts: list[Fact] = []
    for part in messages.pop().parts:
        try:
            read = read_json(part.value) if isinstance(part, Part_Json) else None
        except ValueError:
            read = None
        if not isinstance(read, list) or not all(map(_is_fact, read)):
            raise invalid("what is known is no list of facts")
        facts += [Fact(**fact) for fact in read]
    return facts


def _is_fact(fact: object) -> bool:
    if not isinstance(fact, dict) or set(fact) != {"kind", "of", "value"}:
        return False
    return all(isinstance(value, str) for value in fact.values())
