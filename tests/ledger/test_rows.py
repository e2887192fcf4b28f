"""How rows become bytes, and which versions of them can be read."""

import msgspec
import pytest

from ledger.known_rows import KNOWN_FOR_EVER
from ledger.ledger import Ledger
from ledger.outcome import Changed, Folded, Outcome, Refusal, Refused, Repeated, Scope, Waiting
from ledger.row import Row
from ledger.rows import PACKED, TEXT, Kind, RowUnreadable, alike, readable, written, written_as_text
from tests.ledger.language import BOUNDS, facts
from tests.ledger.memory import MemoryRows


class Purse(Row):
    """A row like any other."""

    name: str
    left: int
    holder: bytes = b""
    told: int = 0


PURSES = Kind("state", b"p", Purse)


@pytest.mark.parametrize("left", [0, -(10**18), 10**18, 10**24 - 1, -(10**24) + 1])
def test_an_amount_of_any_size_comes_back_as_it_was(left: int) -> None:
    purse = Purse("ana", left, b"\0\xff")

    assert PURSES.read(written(purse)) == purse
    assert PURSES.read(written_as_text(purse)) == purse


def test_a_row_of_the_first_version_can_be_read_and_what_was_added_since_has_its_default() -> None:
    assert PURSES.read(b'\x01["ana",7,"AP8="]') == Purse("ana", 7, b"\0\xff", 0)


def test_a_row_of_a_newer_version_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(RowUnreadable, match="version 3: written by a newer SeatStream; upgrade this worker"):
        PURSES.read(b"\x03whatever")


def test_rows_are_alike_whichever_version_wrote_them() -> None:
    purse, other = Purse("ana", 7, b"\0\xff"), Purse("ana", 8, b"\0\xff")
    assert written(purse)[:1] == PACKED
    assert written_as_text(purse)[:1] == TEXT

    assert alike(written(purse), written_as_text(purse))
    assert not alike(written(purse), written_as_text(other))
    assert not alike(written(purse), written(other))


def test_a_packed_row_can_be_read_by_people() -> None:
    assert readable(written(Purse("ana", 7, b"\0\xff"))) == b'["ana",7,"AP8=",0]'
    assert readable(b"\x01[7]") == b"\x01[7]"


@pytest.mark.parametrize("torn", [b"", b"\xa1\xff", b"\xd4\x05a", b"\x91" * 100_000])
def test_a_torn_row_is_shown_as_it_is_and_like_no_other(torn: bytes) -> None:
    assert readable(PACKED + torn) == PACKED + torn
    assert not alike(PACKED + torn, TEXT + b"[]")
    assert not alike(TEXT + torn, PACKED + b"\x90")


def test_what_a_row_of_the_first_version_did_not_know_makes_it_no_other() -> None:
    """`verify` called every row different to which a field was added since."""
    assert alike(b'\x01["ana",7]', written(Purse("ana", 7, b"later")))
    assert not alike(b'\x01["ana",7]', written(Purse("ana", 8)))


def test_a_row_that_only_one_version_can_hold_is_alike_to_itself_alone() -> None:
    fits, exceeds = Purse("ana", 2**63), Purse("ana", 2**64)
    assert (written(fits)[:1], written(exceeds)[:1]) == (PACKED, TEXT)

    assert alike(written(exceeds), written(exceeds))
    assert not alike(written(exceeds), written(fits))


def test_what_is_no_row_is_alike_only_where_it_is_equal() -> None:
    burn = (5).to_bytes(11, "big") + b"holder"

    assert alike(burn, burn)
    assert not alike(burn, PACKED + msgspec.msgpack.encode([5]))
    assert not alike(TEXT + b"not json", PACKED + b"")


@pytest.mark.parametrize(
    ("said", "first"),
    [
        (
            b'{"type":"folded","result":{"pool":7},"changed":[{"type":"scope","scope":{"customer_id":"acme"},"since":5}]}',
            Folded(result={"pool": 7}, changed=(Changed(scope=Scope(customer_id="acme"), since=5),)),
        ),
        (
            b'{"type":"refused","refusal":{"code":"too_late","field":"time","message":"is late","law":"L16"}}',
            Refused(refusal=Refusal(code="too_late", field="time", message="is late", law="L16")),
        ),
        (
            b'{"type":"waiting","message":"not known yet","code":"unknown_contract"}',
            Waiting(message="not known yet", code="unknown_contract"),
        ),
    ],
)
def test_a_repeat_answers_what_the_first_version_remembered(said: bytes, first: Outcome) -> None:
    """L4."""
    rows = MemoryRows()
    ledger = Ledger(rows, **BOUNDS)
    [(fact, arrived_at)] = facts("contract c from 2026-01-01")
    ledger.fold(fact, arrived_at)
    ledger.flush()
    [(key, value)] = rows.scan("state", b"J", b"K")
    known = KNOWN_FOR_EVER.read(value)
    rows.put("state", key, TEXT + b'[%d,%d,null,"",0,0,0,false,%s]' % (known.digest, known.until, said))

    assert Ledger(rows, **BOUNDS).fold(fact, arrived_at) == Repeated(first=first, differs=False)  # type: ignore[arg-type]
