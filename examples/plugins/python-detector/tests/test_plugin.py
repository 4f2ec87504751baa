import unittest

from wit_world.imports.types import (
    BlobRef,
    Caller,
    Instant,
    Message,
    Part_Blob,
    Part_Text,
    RequestInfo,
    Sensitivity,
)

import plugin

INFO = RequestInfo("01M8", "st-marys", Instant(0, 0), Caller("x", [], []), "TREAT", Sensitivity.PHI, [])


class Finds(unittest.TestCase):
    def found(self, *parts: object) -> list[tuple[int, int, int]]:
        plugin.Plugin().configure('{"labels": ["MRN"], "digits": 8}')
        spans = plugin.Detector().detect(INFO, [Message("user", None, list(parts))])
        return [(span.part, span.start, span.end) for span in spans]

    def test_a_labelled_number_is_found_by_its_bytes(self) -> None:
        self.assertEqual(self.found(Part_Text("ü😀 MRN: 90210557.")), [(0, 12, 20)])

    def test_what_is_no_text_is_passed_over(self) -> None:
        blob = Part_Blob(BlobRef("image/png", 1, "00"))
        self.assertEqual(self.found(blob, Part_Text("MRN 90210557")), [(1, 4, 12)])

    def test_other_numbers_are_left(self) -> None:
        self.assertEqual(self.found(Part_Text("90210557, MRN 902105577, MRN 9021055")), [])


if __name__ == "__main__":
    unittest.main()
