"""Writes a line for each entry of the log: its sequence number, its time and its hash, with a tab between.

Whoever keeps the lines can tell later whether the log was changed. Settings: `{"separator": "\\t"}`, which may be left out.
"""

from typing import Any

from nephron_sdk import Descriptor, Settings
from nephron_sdk.entry import date_time, hexadecimal, judge
from wit_world import exports
from wit_world.exports.exporter import Batch, Delivery, Delivery_Bytes, Verdict

SEPARATOR = "\t"


class Plugin(exports.Plugin):
    def describe(self) -> Descriptor:
        return Descriptor("python-exporter", "0.1.0", None)

    def configure(self, settings: str) -> None:
        global SEPARATOR
        keys = Settings(settings)
        SEPARATOR = keys.take(
            "separator", "\t", is_separator, "a text without line breaks, such as `;`"
        )
        keys.done()


def is_separator(value: Any) -> bool:
    return isinstance(value, str) and value != "" and "\n" not in value and "\r" not in value


class Exporter(exports.Exporter):
    def encode(self, batch: Batch) -> Delivery:
        lines = ""
        for entry in batch.entries:
            columns = [
                str(entry.sequence),
                date_time(entry),
                f"sha256:{hexadecimal(entry, entry.hash)}",
            ]
            lines += SEPARATOR.join(columns) + "\n"
        return Delivery_Bytes(lines.encode())

    def judge(self, status: int, headers: list[tuple[str, str]], body: bytes) -> Verdict:
        """What a server's answer to a delivery means; for bytes nobody asks."""
        return judge(status, headers)
