"""How it is kept that an id was taken (`ledger.identities`)."""

from typing import Any

from ledger.amounts import Amount
from ledger.instants import Instant
from ledger.row import Row
from ledger.rows import Kind


class KnownRow(Row):
    """An identity that is taken, and its first outcome (L4). For a burn: where it is; `paid` by the names of credits."""

    digest: int
    until: Instant  # remembered up to and including this instant
    paid: list[tuple[str, Amount]] | None = None
    holder: bytes = b""
    credit_type: int = 0
    time: Instant = 0
    amount: Amount = 0
    voided: bool = False
    outcome: Any = None  # of what is no burn


KNOWN = Kind("trail", b"i", KnownRow)
KNOWN_FOR_EVER = Kind("state", b"J", KnownRow)
