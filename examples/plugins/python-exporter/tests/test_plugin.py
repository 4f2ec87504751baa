import unittest

from componentize_py_types import Err
from wit_world.exports.exporter import (
    Batch,
    Entry,
    Verdict_Delivered,
    Verdict_Rejected,
    Verdict_RetryAfterSeconds,
)
from wit_world.imports.types import Instant

import plugin


def encoded(seconds: int, hashed: bytes) -> str:
    entry = Entry(7, Instant(seconds, 5), "{}", bytes([6]) * 32, hashed)
    batch = Batch("st-marys", "audit", 7, [entry], None)
    return plugin.Exporter().encode(batch).value.decode()


class Writes(unittest.TestCase):
    def setUp(self) -> None:
        plugin.Plugin().configure("{}")

    def test_an_entry_is_a_line(self) -> None:
        hashed = "07" * 32
        for seconds, time in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_795_305_802, "2026-11-22T00:03:22"),
            (253_402_300_799, "9999-12-31T23:59:59"),
        ]:
            line = f"7\t{time}.000000005Z\tsha256:{hashed}\n"
            self.assertEqual(encoded(seconds, bytes.fromhex(hashed)), line)

    def test_what_is_no_hash_or_no_time_is_refused(self) -> None:
        for seconds, length in [(0, 31), (253_402_300_800, 32), ((1 << 64) - 1, 32)]:
            with self.assertRaises(Err) as raised:
                encoded(seconds, bytes(length))
            self.assertIn("entry 7: ", raised.exception.value.value)

    def test_a_separator_breaks_no_line(self) -> None:
        for settings in ['{"separator": ""}', '{"separator": "\\n"}', '{"separator": 1}', '{"separator": "\\ud800"}']:
            with self.assertRaises(Err):
                plugin.Plugin().configure(settings)

    def test_an_answer_delivers_refuses_for_good_or_asks_for_another_try(self) -> None:
        for status, value, verdict in [
            (204, "", Verdict_Delivered()),
            (413, "7", Verdict_Rejected("status-413")),
            (403, "", Verdict_RetryAfterSeconds(0)),
            (429, " 7", Verdict_RetryAfterSeconds(7)),
            (429, "99999999", Verdict_RetryAfterSeconds(3600)),
            (503, "Sun, 22 Nov 2026 00:00:00 GMT", Verdict_RetryAfterSeconds(0)),
        ]:
            self.assertEqual(plugin.Exporter().judge(status, [("Retry-After", value)], b""), verdict)


if __name__ == "__main__":
    unittest.main()
