"""What exporters share: when a log entry was made, its hash, and what an HTTP server's answer means for a batch."""

import re
from datetime import datetime, timedelta

from componentize_py_types import Err
from nephron_sdk import invalid
from wit_world.exports.exporter import (
    Entry,
    Verdict,
    Verdict_Delivered,
    Verdict_Rejected,
    Verdict_RetryAfterSeconds,
)

__all__ = ["date_time", "fault", "hexadecimal", "judge", "retry_after"]

YEAR_10000 = 253_402_300_800
LONGEST = 3600


def fault(entry: Entry, message: str) -> Err:
    """That an entry cannot be expressed; the message names it and must hold nothing else of it."""
    return invalid(f"entry {entry.sequence}: {message}")


def date_time(entry: Entry) -> str:
    """When it was made: RFC 3339 in UTC with nine decimals, as its header writes it."""
    if entry.at.seconds >= YEAR_10000:
        raise fault(entry, "its time is after the year 9999")
    second = datetime(1970, 1, 1) + timedelta(seconds=entry.at.seconds)
    return f"{second.isoformat()}.{min(entry.at.nanoseconds, 999_999_999):09}Z"


def hexadecimal(entry: Entry, hashed: bytes) -> str:
    """One of its hashes, of 32 bytes, in lower-case hex digits."""
    if len(hashed) != 32:
        raise fault(entry, "one of its hashes is not 32 bytes")
    return hashed.hex()


def judge(status: int, headers: list[tuple[str, str]]) -> Verdict:
    """What the status of an answer means for a batch (RFC 9110 §15). 2xx: delivered. What is wrong with the batch itself (400, 413, 414,
    415 and 422) is refused for good. All else, a refused credential or a wrong address among it, an operator can mend: the batch is kept
    and tried again, after as long as the server asks for."""
    if 200 <= status <= 299:
        return Verdict_Delivered()
    if status in (400, 413, 414, 415, 422):
        return Verdict_Rejected(f"status-{status}")
    return Verdict_RetryAfterSeconds(retry_after(headers))


def retry_after(headers: list[tuple[str, str]]) -> int:
    """Seconds that a server asks for (RFC 9110 §10.2.3), up to an hour, else none: the host waits ever longer by itself. A date is not
    followed: no plugin knows the time."""
    for name, value in headers:
        if name.lower() == "retry-after":
            seconds = value.strip()
            return min(int(seconds), LONGEST) if re.fullmatch("[0-9]{1,10}", seconds) else 0
    return 0
