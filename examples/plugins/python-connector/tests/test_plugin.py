import json
import unittest

from componentize_py_types import Err
from wit_world.exports.connector import ChatCall
from wit_world.imports.types import Caller, Instant, Message, Part_Text, RequestInfo, Sensitivity

import plugin

INFO = RequestInfo("01M8", "st-marys", Instant(0, 0), Caller("x", [], []), "TREAT", Sensitivity.PHI, [])


class Speaks(unittest.TestCase):
    def setUp(self) -> None:
        plugin.Plugin().configure("{}")

    def test_a_call_becomes_a_request(self) -> None:
        messages = [Message("user", None, [Part_Text("Größe?")])]
        call = ChatCall("m", messages, None, None, [], True, [])
        request = plugin.Connector().encode(INFO, call).value
        self.assertEqual(request.path, "/api/chat")
        said = [{"role": "user", "content": "Größe?"}]
        self.assertEqual(
            json.loads(request.body), {"model": "m", "stream": True, "messages": said, "options": {}}
        )

    def test_an_answer_comes_cut_anywhere(self) -> None:
        line = '{"model":"m","message":{"content":"ü"},"done":true}\n'.encode()
        decoder = plugin.Decoder(200, [])
        events = [event for byte in line for event in decoder.push(bytes([byte]))]
        events += plugin.Decoder.finish(decoder)
        kinds = [type(event).__name__ for event in events]
        self.assertEqual(kinds, ["Event_Model", "Event_Text", "Event_Stopped", "Event_Used"])

    def test_an_answer_that_was_cut_off_is_an_error(self) -> None:
        with self.assertRaises(Err):
            plugin.Decoder.finish(plugin.Decoder(200, []))

    def test_what_is_none_of_this_api_is_an_error(self) -> None:
        half = rb'{"message":{"content":"\ud83d"}}'
        for line in [b"{", b"[]", b"{}", b"\xff", half, nested(64), b"[" * 100_000]:
            with self.assertRaises(Err):
                plugin.Decoder(200, []).push(line + b"\n")
        self.assertEqual(len(plugin.Decoder(200, []).push(nested(63) + b"\n")), 1)


def nested(depth: int) -> bytes:
    return b'{"message":{"content":"\\"["},"x":' + b"[" * depth + b"]" * depth + b"}"


if __name__ == "__main__":
    unittest.main()
