"""Time is an event (L17): what happens when a clock says so, without anybody's traffic, in steps, under both clocks."""

from typing import Any

import orjson
import pytest

from ledger.ageing import aged_until
from ledger.amounts import UNIT
from ledger.instants import DAY, ORIGIN, SECOND, instant, text
from ledger.ledger import Ledger
from ledger.rows import Book
from streams.clock import CLOCK, CLOCK_KEY, SettingChanged
from streams.publishing import SCOPES_A_STEP
from streams.settings import read
from streams.trimming import unneeded_before
from tables.overlay import Overlay
from tests.streams.test_bookkeeper import Desk, burn, contract, gist, letters, snapshots

TOPIC = read({"SEATSTREAM_PARTITIONS": "1", "SEATSTREAM_CLOCK": "topic", "SEATSTREAM_WAIT": "PT1H"})
MANY = 2 * SCOPES_A_STEP + SCOPES_A_STEP // 2


def test_a_period_starts_at_its_instant_for_those_who_say_nothing() -> None:
    desk = Desk()
    contract(desk)
    burn(desk.at("2026-03-16T14:00:00Z"), "b1", "2", "2026-03-16T13:59:59Z")

    assert desk.at("2026-03-31T23:59:59Z").tick() == []
    said = snapshots(desk.at("2026-04-01T00:00:00Z").tick())

    assert [gist(one) for one in said] == [
        ("seats.charged", "period", 1, "10", "2026-04-01T00:00:00Z"),
        ("balance.snapshot", "ana", "5", "2026-04-01T00:00:00Z"),
        ("balance.snapshot", "bo", "5", "2026-04-01T00:00:00Z"),
    ]
    assert {one["cause"]["type"] for one in said} == {"time"}


def test_a_tick_that_goes_backward_changes_nothing() -> None:
    desk = Desk(TOPIC)
    desk.tick("2026-03-20T00:00:00Z")
    before = dict(desk.rows.tables["state"])

    assert desk.tick("2026-03-19T00:00:00Z") == []
    assert desk.rows.tables["state"] == before


@pytest.mark.parametrize(
    ("value", "code"),
    [(b'{"type": "tick"}', "missing_field"), (b'{"type": "tock"}', "unknown_value"), (b"{", "unreadable")],
)
def test_what_control_cannot_read_is_a_dead_letter(value: bytes, code: str) -> None:
    desk = Desk()
    assert letters(desk.fold(desk.record("control", value))) == [(code, value)]


# --- many seats ------------------------------------------------------------------------------------------------------


def many_seats(desk: Desk) -> None:
    seats = [f"seat-{n:04d}" for n in range(MANY)]
    contract(desk, subscriptions=[{"subscription_id": "team", "mode": "seats", "seat_ids": seats}])


def test_a_period_start_of_many_seats_is_said_in_steps() -> None:
    desk = Desk()
    many_seats(desk)
    desk.at("2026-04-01T00:00:00Z")
    burned = desk.record("credit-burn", _burn("b1", "seat-0249", "2026-04-01T00:00:00Z"))

    first, unfinished = desk.fold_once(desk.record("control", b'{"type": "tick", "time": "2026-04-01T00:00:00Z"}'))
    assert unfinished
    assert len(snapshots(first)) <= SCOPES_A_STEP
    # A burn does not wait for the rest, and whoever asks sees all of it done.
    second, unfinished = desk.fold_once(burned)
    assert unfinished
    assert _balance(desk, "seat-0249") == 4 * UNIT
    assert _balance(desk, "seat-0248") == 5 * UNIT
    desk.restart()
    rest = desk.fold()

    said = [gist(one) for one in snapshots(first + second + rest) if one["type"] == "balance.snapshot"]
    assert sorted(one for one in said if one[3] == "2026-04-01T00:00:00Z") == [
        ("balance.snapshot", f"seat-{n:04d}", "5", "2026-04-01T00:00:00Z") for n in range(MANY)
    ]
    assert len(said) == len(set(said))


def test_who_burns_before_its_start_was_said_is_said_in_order() -> None:
    desk = Desk()
    many_seats(desk)
    desk.fold_once(
        desk.at("2026-04-01T00:00:00Z").record("control", b'{"type": "tick", "time": "2026-04-01T00:00:00Z"}')
    )
    desk.at("2026-04-01T01:00:00Z")

    said, _ = desk.fold_once(desk.record("credit-burn", _burn("b1", "seat-0249", "2026-04-01T00:30:00Z")))
    rest = desk.fold()

    of_seat = [gist(one) for one in snapshots(said + rest) if one["scope"].get("seat_id") == "seat-0249"]
    assert [(balance, time) for _, _, balance, time in of_seat] == [
        ("5", "2026-04-01T00:00:00Z"),
        ("4", "2026-04-01T00:30:00.000001Z"),
    ]


def test_what_is_agreed_for_many_seats_is_said_in_steps() -> None:
    desk = Desk()
    many_seats(desk)
    granted = (
        b'{"type": "recurring_credit.updated", "id": "r", "customer_id": "acme", "contract_id": "c", "recurring_credit_id":'
        b' "own", "amount": "7", "time": "2026-03-16T12:00:00Z"}'
    )
    desk.fold(desk.record("contract-change", granted))

    said = snapshots(desk.at("2026-04-01T00:00:00Z").tick())

    assert sorted(gist(one) for one in said if one["type"] == "balance.snapshot") == [
        ("balance.snapshot", f"seat-{n:04d}", "7", "2026-04-01T00:00:00Z") for n in range(MANY)
    ]


def _burn(id: str, seat_id: str, time: str) -> bytes:
    return f'{{"id": "{id}", "customer_id": "acme", "seat_id": "{seat_id}", "amount": "1", "time": "{time}"}}'.encode()


def _balance(desk: Desk, seat_id: str) -> int:
    (balance,) = Ledger(Overlay(desk.rows)).balances("acme", desk.now + 1, seat_id=seat_id)
    return balance.balance


# --- the clock is a topic --------------------------------------------------------------------------------------------


def signed(desk: Desk, **more: Any) -> None:
    assert contract(desk, time="2026-03-01T00:00:00Z", **more) == []


def test_a_year_is_played_in_a_second() -> None:
    desk = Desk(TOPIC)
    signed(desk)

    said = snapshots(desk.tick("2026-03-01T00:00:00Z"))
    year = snapshots(desk.tick("2027-03-01T00:00:00Z"))

    assert [gist(one)[:3] for one in said if one["type"] == "balance.snapshot"] == [
        ("balance.snapshot", "pool", "100"), ("balance.snapshot", "ana", "5"), ("balance.snapshot", "bo", "5"),
    ]  # fmt: skip
    starts = [f"{2026 + month // 12}-{month % 12 + 1:02d}-01T00:00:00Z" for month in range(3, 15)]
    assert [one["time"] for one in year if one["type"] == "seats.charged"] == starts
    # What a slice leaves is lost at its end and given anew: nothing that a balance would tell, but that its slice is another.
    assert [
        one["time"] for one in year if one["type"] == "balance.snapshot" and one["scope"].get("seat_id") == "ana"
    ] == starts


def test_no_charge_is_missed_where_the_clock_was_away_for_months() -> None:
    desk = Desk()
    contract(desk)

    said = snapshots(desk.at("2026-09-15T00:00:00Z").tick())

    assert [one["time"][:7] for one in said if one["type"] == "seats.charged"] == [
        f"2026-{n:02d}" for n in range(4, 10)
    ]


def test_a_contract_and_a_year_in_one_batch_say_each_of_its_instants() -> None:
    apart, at_once = Desk(TOPIC), Desk(TOPIC)
    for desk in (apart, at_once):
        desk.tick("2026-02-01T00:00:00Z")
    kinds = (("contract-change", SIGNED), ("control", b'{"type": "tick", "time": "2027-03-01T00:00:00Z"}'))

    one_by_one = [output for kind, value in kinds for output in apart.fold(apart.record(kind, value))]
    together = at_once.fold(*(at_once.record(kind, value) for kind, value in kinds))

    assert [gist(one) for one in snapshots(together)] == [gist(one) for one in snapshots(one_by_one)]
    assert len({gist(one)[-1] for one in snapshots(together)}) == 13


SIGNED = (
    b'{"type": "contract.created", "id": "k", "customer_id": "acme", "time": "2026-02-01T00:00:00Z", "contract_id": "c",'
    b' "starting_at": "2026-03-01T00:00:00Z", "recurring_credits": [{"recurring_credit_id": "r", "amount": "5",'
    b' "every": "P1M"}]}'
)


def test_nothing_is_late_or_ahead_before_the_first_tick_and_a_repeat_is_one() -> None:
    desk = Desk(TOPIC)
    signed(desk)

    assert burn(desk, "b1", "1", "2026-03-02T00:00:00Z") == []
    assert burn(desk, "b2", "1", "2040-01-01T00:00:00Z") == []
    assert burn(desk, "b1", "1", "2026-03-02T00:00:00Z") == []
    desk.tick("2026-03-03T00:00:00Z")
    assert burn(desk, "b1", "1", "2026-03-02T00:00:00Z") == []

    (own,) = Ledger(Overlay(desk.rows)).balances("acme", instant("2026-03-04T00:00:00Z"), seat_id="ana")
    assert own.balance == 4 * UNIT


def test_after_the_first_tick_lateness_is_judged_by_the_last_one() -> None:
    desk = Desk(TOPIC)
    signed(desk)
    desk.tick("2026-06-01T00:00:00Z")

    late = desk.fold(desk.record("credit-burn", _burn("b1", "ana", "2026-04-01T00:00:00Z")))
    ahead = desk.fold(desk.record("credit-burn", _burn("b2", "ana", "2026-06-02T00:00:01Z")))
    # Whatever the broker's clock says.
    in_time = desk.fold(
        desk.record("credit-burn", _burn("b3", "ana", "2026-05-31T00:00:00Z"), now=instant("2031-01-01T00:00:00Z"))
    )

    assert [code for code, _ in letters(late + ahead + in_time)] == ["too_late", "time_in_future"]


def test_what_waits_before_the_first_tick_waits_from_then_on() -> None:
    desk = Desk(TOPIC)
    value = _burn("b1", "ana", "2026-03-02T00:00:00Z").replace(b'"amount"', b'"contract_id": "c", "amount"')
    assert desk.fold(desk.record("credit-burn", value)) == []

    assert letters(desk.tick("2026-03-03T00:00:00Z")) == []
    assert letters(desk.tick("2026-03-03T01:00:00Z")) == []
    assert letters(desk.tick("2026-03-03T01:00:01Z")) == [("wait_over", value)]


def test_a_clock_that_nobody_moved_is_no_row() -> None:
    desk = Desk(TOPIC)
    signed(desk)

    assert Overlay(desk.rows).get("state", b"Pk") is None
    desk.tick("2026-03-03T00:00:00Z")
    assert (
        CLOCK.read(Overlay(desk.rows).get("state", b"Pk") or b"").now == instant("2026-03-03T00:00:00Z") > ORIGIN + DAY
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SEATSTREAM_CLOCK", "topic"), ("SEATSTREAM_LATENESS", "P60D"), ("SEATSTREAM_LATENESS", "P17D")],
)
def test_no_retry_counts_twice_because_a_setting_was_changed(variable: str, value: str) -> None:
    desk = Desk()
    contract(desk)
    burn(desk, "b1", "1", "2026-03-16T12:00:00Z")
    desk.settings = read({"SEATSTREAM_PARTITIONS": "1", variable: value})
    desk.restart()

    with pytest.raises(SettingChanged, match=f"{variable} is .* Set it back"):
        burn(desk, "b1", "1", "2026-03-16T12:00:00Z")


def test_burns_that_were_once_allowed_far_ahead_are_not_trimmed_once_they_no_longer_are() -> None:
    desk = Desk(read({"SEATSTREAM_PARTITIONS": "1", "SEATSTREAM_AHEAD": "P20D"}))
    contract(desk)
    burn(desk, "b1", "1", "2026-04-04T12:00:00Z")
    desk.settings = read({"SEATSTREAM_PARTITIONS": "1"})
    desk.restart()
    for _ in range(2):
        # Whoever looks at it next goes by where it stood before.
        desk.now += 200 * DAY
        desk.tick()
    book = Book(Overlay(desk.rows))
    clock = book.load(CLOCK, CLOCK_KEY)
    assert clock is not None

    assert unneeded_before(book) == min(aged_until(book), clock.forgotten) - 21 * DAY > ORIGIN


def test_a_record_with_a_wild_append_time_forgets_no_identities() -> None:
    desk = Desk()
    contract(desk)
    burn(desk, "b1", "1", "2026-03-16T12:00:00Z")
    now, desk.now = desk.now, desk.now + 150 * DAY
    desk.tick()
    desk.now = now + SECOND

    assert desk.fold(desk.record("credit-burn", _burn("b1", "ana", "2026-03-16T12:00:00Z"))) == []
    (ana,) = Ledger(Overlay(desk.rows)).balances("acme", now + 1, seat_id="ana")
    assert ana.balance == 4 * UNIT


# --- what leaves with time -------------------------------------------------------------------------------------------


def test_identities_of_burns_leave_together_once_nobody_asks_for_them() -> None:
    desk = Desk()
    contract(desk)
    for day in range(0, 340, 10):
        desk.now = instant("2026-03-16T12:00:00Z") + day * DAY
        sent = _burn(f"b{day}", "ana", text(desk.now))
        desk.fold(desk.record("credit-burn", sent))
        assert desk.fold(desk.record("credit-burn", sent)) == []

        kept = [key for key in desk.rows.tables["trail"] if key[:1] == b"i"]
        # Four times the lateness bound of 34 days, and what is left of the fifth.
        assert len(kept) <= 5 * 34 / 10 + 1

    # A repeat after that is too late, and no burn counts twice.
    assert letters(desk.fold(desk.record("credit-burn", _burn("b0", "ana", "2026-03-16T12:00:00Z")))) == [
        ("too_late", _burn("b0", "ana", "2026-03-16T12:00:00Z"))
    ]


# --- what a hostile reader found -------------------------------------------------------------------------------------


def test_a_burn_stamped_ahead_of_the_clock_is_said_once_the_clock_is_there() -> None:
    """Its snapshot never left: the customer saw too much until the seat burned again."""
    desk = Desk()
    contract(desk, grants=[])
    desk.at("2026-03-16T14:00:00Z")
    desk.fold(desk.record("credit-burn", _burn("b1", "ana", "2026-03-16T14:00:02Z")))

    assert snapshots(desk.at("2026-03-16T14:00:01Z").tick()) == []
    (said,) = snapshots(desk.at("2026-03-16T14:00:03Z").tick())
    assert gist(said) == ("balance.snapshot", "ana", "4", "2026-03-16T14:00:02.000001Z")
    assert snapshots(desk.at("2026-03-18T00:00:00Z").tick()) == []


def test_a_burn_in_the_batch_that_passes_a_period_start_is_said_too() -> None:
    desk = Desk()
    contract(desk, grants=[])
    burn(desk.at("2026-03-31T23:30:00Z"), "b1", "1", "2026-03-31T23:29:59Z")
    desk.at("2026-03-31T23:40:00Z")
    desk.fold(desk.record("credit-burn", _burn("b2", "ana", "2026-03-31T23:39:59Z")))
    desk.at("2026-04-01T00:00:01Z")

    desk.fold(desk.record("credit-burn", _burn("b3", "ana", "2026-04-01T00:00:00.4Z")))
    later = snapshots(desk.at("2026-04-01T02:00:00Z").tick())

    assert [gist(one) for one in later] == [("balance.snapshot", "ana", "4", "2026-04-01T00:00:00.400001Z")]


def test_no_snapshot_is_said_twice_with_another_balance_while_much_is_still_to_be_said() -> None:
    """A late fact was folded in the midst of the steps: the same id was said again, and the correction was swallowed."""
    desk = Desk()
    many_seats(desk)
    void = {
        "type": "credits.voided", "id": "void", "customer_id": "acme", "contract_id": "c", "grant_id": "own",
        "time": "2026-03-16T12:00:00Z", "voided_at": "2026-03-16T12:00:00Z",
    }  # fmt: skip
    grant = {
        "type": "credits.granted", "id": "g", "customer_id": "acme", "contract_id": "c", "grant_id": "gift",
        "seat_id": "seat-0249", "amount": "10", "time": "2026-03-16T11:00:00Z",
    }  # fmt: skip
    desk.fold(desk.record("contract-change", orjson.dumps(grant)))
    first, unfinished = desk.fold_once(
        desk.record("contract-change", orjson.dumps(void)),
        desk.record("credit-burn", _burn("b1", "seat-0249", "2026-03-16T11:59:59Z")),
    )
    assert unfinished
    late = grant | {"type": "credits.adjusted", "id": "adj", "grant_id": "gift", "amount": "-2", "reason": "x"}
    second, _ = desk.fold_once(desk.record("contract-change", orjson.dumps(late)))

    said = [one for one in snapshots(first + second + desk.fold()) if one.get("scope") == {"seat_id": "seat-0249"}]

    ids = [one["snapshot_id"] for one in said]
    assert len(ids) == len(set(ids))
    assert (said[-1]["type"], said[-1]["balance"]) == ("balance.corrected", "8")


def test_facts_about_all_seats_that_come_faster_than_they_are_said_leave_no_heap_of_work() -> None:
    desk = Desk()
    many_seats(desk)
    left = []
    for n in range(6):
        desk.now += SECOND
        change = {
            "type": "recurring_credit.updated", "id": f"r{n}", "customer_id": "acme", "contract_id": "c",
            "recurring_credit_id": "own", "amount": str(7 + n), "time": "2026-02-28T12:00:00Z",
        }  # fmt: skip
        desk.fold_once(desk.record("contract-change", orjson.dumps(change)))
        left.append(sum(key[:2] == b"Pt" for key in desk.rows.tables["state"]))

    assert max(left) <= 4
    last = {one["scope"]["seat_id"]: one for one in snapshots(desk.fold()) if one["type"].startswith("balance.")}
    assert {one["balance"] for seat, one in last.items() if seat >= "seat-0200"} == {"12"}
