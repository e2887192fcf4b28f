"""How it is kept what waits, and for how long (`ledger.waiting`)."""

import msgspec

from ledger.contracts import CountRow
from ledger.instants import Instant
from ledger.row import Row
from ledger.rows import Kind, written_as_text


class WaitingRow(Row):
    fact: msgspec.Raw
    arrived_at: Instant
    code: str
    message: str
    due_key: bytes


class DueRow(Row):
    customer_id: str
    waiting_key: bytes


WAITING = Kind("state", b"W", WaitingRow, written_as_text)
DUE = Kind("state", b"U", DueRow)
WAITING_COUNT = Kind("state", b"#", CountRow)
