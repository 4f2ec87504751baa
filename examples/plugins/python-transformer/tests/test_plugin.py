import unittest

from componentize_py_types import Err
from wit_world.imports import types
from wit_world.imports.keys import KeyError_Expired
from wit_world.imports.types import Caller, Instant, Message, Part_Json, Part_Text, RequestInfo, Sensitivity, Span

import plugin

INFO = RequestInfo("01M8", "st-marys", Instant(0, 0), Caller("x", [], []), "TREAT", Sensitivity.PHI, [])


class Lent(plugin.Key):
    """No key is lent outside of a component: this one says what it was asked."""

    def __init__(self, expired: bool = False) -> None:
        self.asked: list[bytes] = []
        self.expired = expired

    def mac(self, data: bytes) -> bytes:
        self.asked.append(data)
        if self.expired:
            raise Err(KeyError_Expired())
        return bytes(reversed(data))


def span(start: int, end: int, kind: str = "mrn") -> Span:
    return Span(0, 0, start, end, kind, 1.0, None)


def text(value: str) -> list[Message]:
    return [Message("user", None, [Part_Text(value)])]


class Replaces(unittest.TestCase):
    def written(self, value: str, found: list[Span], key: Lent) -> str:
        outcome = plugin.Transformer().deidentify(INFO, text(value), found, key)
        self.assertEqual(outcome.replaced, len(found))
        return outcome.messages[0].parts[0].value

    def refused(self, messages: list[Message], found: list[Span], key: Lent) -> object:
        with self.assertRaises(Err) as raised:
            plugin.Transformer().deidentify(INFO, messages, found, key)
        return raised.exception.value

    def test_a_value_has_one_pseudonym_wherever_it_stands(self) -> None:
        key = Lent()
        one = "[MRN 3735353031323039]"
        self.assertEqual(self.written("ü 90210557, 90210557", [span(13, 21), span(3, 11)], key), f"ü {one}, {one}")
        self.assertEqual(key.asked, [b"mrn\x0090210557"])

    def test_a_lent_key_is_used_as_often_as_there_are_values(self) -> None:
        key = Lent()
        self.written("Alma, 90210557", [span(0, 4, "name"), span(6, 14)], key)
        self.assertEqual(key.asked, [b"name\0Alma", b"mrn\x0090210557"])

    def test_a_lent_key_cannot_be_released(self) -> None:
        with self.assertRaises(TypeError):
            with Lent():
                pass
        with self.assertRaises(TypeError):
            Lent().__exit__(None, None, None)

    def test_what_the_key_refuses_is_told_without_a_value(self) -> None:
        refused = self.refused(text("90210557"), [span(0, 8)], Lent(expired=True))
        self.assertEqual(refused, types.Error_Unavailable("the key does not authenticate"))

    def test_spans_that_overlap_or_cut_a_character_are_refused(self) -> None:
        for value, found in [
            ("90210557", [span(0, 4), span(3, 8)]),
            ("ü", [span(1, 2)]),
            ("90210557", [span(0, 9)]),
            ("90210557", [span(5, 4)]),
        ]:
            self.assertIsInstance(self.refused(text(value), found, Lent()), types.Error_InvalidInput)

    def test_what_is_known_goes_no_further(self) -> None:
        known = '[{"kind": "name", "of": "patient", "value": "Thistlewood, Alma"}]'
        messages = text("She sleeps.") + [Message("known", None, [Part_Json(known)])]
        outcome = plugin.Transformer().deidentify(INFO, messages, [], Lent())
        self.assertEqual(outcome.messages, text("She sleeps."))
        for wrong in ['{"Thistlewood": 1}', '[{"kind": "name", "of": "patient"}]', "Thistlewood"]:
            messages = [Message("known", None, [Part_Json(wrong)])]
            self.assertNotIn("Thistlewood", repr(self.refused(messages, [], Lent())))


if __name__ == "__main__":
    unittest.main()
