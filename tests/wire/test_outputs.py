"""What leaves: snapshots in parts, corrections with what had been said, dead letters with the original whole."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ledger.answers import Balance, Charge, Counts, GrantBalance
from ledger.facts import Price
from ledger.instants import DAY, instant
from ledger.outcome import Refusal, Scope
from wire.outputs import (
    LETTER_BYTES,
    Alert,
    Message,
    Moved,
    Occasion,
    Source,
    balance_corrected,
    balance_snapshot,
    dead_letter,
    seats_changed,
    seats_charged,
    seats_corrected,
    threshold_alert,
)
from wire.topics import OWN_MESSAGE_BYTES

MARCH, APRIL = instant("2026-03-01T00:00:00Z"), instant("2026-04-01T00:00:00Z")
ANA = Scope(customer_id="acme", contract_id="c-1", seat_id="ana")
AS_OF = {"event_time": "2026-03-17T00:00:00Z", "offsets": {"credit-burn-3": 120}}
OCCASION = Occasion(
    customer_id="acme", contract_id="c-1", time=MARCH, cause_type="seat-change", cause_id="edit-91", as_of=AS_OF
)
REFUSAL = Refusal(code="wrong_type", field="amount", message="amount is a list; give a decimal", law="L19")


def counts(total: int = 3, assigned: int = 2) -> Counts:
    return Counts(
        subscription_id="team",
        total=total,
        assigned=assigned,
        unassigned=total - assigned,
        included=2,
        extra=max(0, total - 2),
        paid=4,
        pending_removals=4 - total,
        version=7,
    )


def grant(n: int) -> GrantBalance:
    return GrantBalance(
        grant_id=f"g{n}", balance=1, granted=2, amount=3, priority=100, effective_at=MARCH, expires_at=APRIL
    )


def balance(*grants: GrantBalance) -> Balance:
    return Balance(scope=ANA, balance=18_750_000_000, granted=20_000_000_000, overage=0, grants=grants)


def held(message: Message) -> dict[str, Any]:
    assert message.value is not None
    plain = msgspec.json.decode(message.value)
    assert isinstance(plain, dict)
    return plain


def test_a_snapshot_of_seats_says_counts_and_who_came_and_went() -> None:
    [message] = seats_changed(OCCASION, counts(), 2, added=["cy"], removed=["bo"])

    assert message.key == b"acme"
    assert {name: value for name, value in held(message).items() if name != "snapshot_id"} == {
        "type": "seats.changed",
        "customer_id": "acme",
        "contract_id": "c-1",
        "time": "2026-03-01T00:00:00Z",
        "cause": {"type": "seat-change", "id": "edit-91"},
        "as_of": AS_OF,
        "subscription_id": "team",
        "version": 7,
        "quantity": 3,
        "assigned": 2,
        "unassigned": 1,
        "included": 2,
        "extra": 1,
        "pending_removals": 1,
        "previous_quantity": 2,
        "added": ["cy"],
        "removed": ["bo"],
        "part": 1,
        "parts": 1,
    }


def test_2_500_seats_leave_in_three_parts_of_one_snapshot() -> None:
    added = [f"s{n}" for n in range(2_400)]
    removed = [f"t{n}" for n in range(100)]
    parts = [held(message) for message in seats_changed(OCCASION, counts(), 0, added, removed)]

    assert [(part["part"], part["parts"]) for part in parts] == [(1, 3), (2, 3), (3, 3)]
    assert [len(part["added"]) + len(part["removed"]) for part in parts] == [1_000, 1_000, 500]
    assert [seat for part in parts for seat in part["added"]] == added
    assert [seat for part in parts for seat in part["removed"]] == removed
    assert len({part["snapshot_id"] for part in parts}) == 1


def test_a_snapshots_id_is_made_of_what_it_says_and_never_of_how_far_was_read() -> None:
    def named(occasion: Occasion, of: Counts) -> str:
        return str(held(seats_changed(occasion, of, 0)[0])["snapshot_id"])

    again = msgspec.structs.replace(OCCASION, as_of={"offsets": {}})
    another = msgspec.structs.replace(OCCASION, cause_id="edit-92")
    assert named(OCCASION, counts()) == named(again, counts())
    assert named(OCCASION, counts()) != named(another, counts())
    assert named(OCCASION, counts()) != named(OCCASION, msgspec.structs.replace(counts(), subscription_id="other"))


def test_a_correction_of_seats_says_what_had_been_said() -> None:
    [message] = seats_corrected(OCCASION, counts(3), counts(4))

    assert held(message)["previous"]["quantity"] == held(message)["previous_quantity"] == 4
    assert held(message)["quantity"] == 3


def test_a_charge_says_its_exact_fraction_and_its_amount_where_a_price_is_known() -> None:
    charge = Charge(
        contract_id="c-1",
        subscription_id="team",
        time=MARCH,
        since=MARCH,
        kind="increase",
        seats=2,
        covered=15 * DAY,
        period=30 * DAY,
        period_from=MARCH,
        period_to=APRIL,
        unit_price=Price(amount=25_000_000_000, currency="USD"),
        amount=25_000_000_000,
    )
    [priced] = seats_charged(OCCASION, charge)
    [whole] = seats_charged(OCCASION, msgspec.structs.replace(charge, covered=30 * DAY, unit_price=None, amount=None))

    assert held(priced)["fraction"] == "1/2"
    assert held(priced)["unit_price"] == {"amount": "25", "currency": "USD"}
    assert (held(priced)["amount"], held(priced)["period"]["to"]) == ("25", "2026-04-01T00:00:00Z")
    assert held(whole)["fraction"] == "1"
    assert "amount" not in held(whole) and "unit_price" not in held(whole)


def test_a_balance_leaves_with_its_grants_and_what_moved() -> None:
    [message] = balance_snapshot(OCCASION, balance(grant(1)), Moved(burned=1_250_000_000))

    said = held(message)
    assert (said["scope"], said["credit_type"]) == ({"seat_id": "ana"}, "credits")
    assert (said["granted"], said["burned"], said["adjusted"], said["expired"]) == ("20", "1.25", "0", "0")
    assert (said["balance"], said["overage"]) == ("18.75", "0")
    assert said["grants"] == [
        {
            "grant_id": "g1",
            "balance": "0.000000001",
            "granted": "0.000000002",
            "amount": "0.000000003",
            "priority": 100,
            "effective_at": "2026-03-01T00:00:00Z",
            "expires_at": "2026-04-01T00:00:00Z",
        }
    ]


def test_a_pool_says_that_it_is_one_and_a_balance_without_grants_is_one_part() -> None:
    pool = msgspec.structs.replace(balance(), scope=Scope(customer_id="acme"))
    [message] = balance_snapshot(msgspec.structs.replace(OCCASION, contract_id=None), pool, Moved())

    said = held(message)
    assert (said["scope"], said["contract_id"], said["part"], said["parts"]) == ({"pool": True}, None, 1, 1)


def test_1_001_grants_leave_in_two_parts() -> None:
    parts = [held(message) for message in balance_snapshot(OCCASION, balance(*map(grant, range(1_001))), Moved())]

    assert [(len(part["grants"]), part["part"], part["parts"]) for part in parts] == [(1_000, 1, 2), (1, 2, 2)]


def test_a_correction_of_a_balance_says_what_had_been_said() -> None:
    before = msgspec.structs.replace(balance(), balance=20_000_000_000)
    [message] = balance_corrected(OCCASION, balance(), Moved(burned=1_250_000_000), before, Moved())

    assert held(message)["type"] == "balance.corrected"
    assert held(message)["previous"] == {
        "burned": "0",
        "adjusted": "0",
        "expired": "0",
        "granted": "20",
        "balance": "20",
        "overage": "0",
    }


# --- dead letters ----------------------------------------------------------------------------------------------------


def source(**other: Any) -> Source:
    return Source("credit-burn", 3, 120, 1_773_653_400_123, b"acme", b'{"amount": []}')._replace(**other)


def test_a_dead_letter_holds_the_original_untouched_and_says_why_and_where_from() -> None:
    [message] = dead_letter(source(headers=[("traceparent", b"00-1")]), REFUSAL, "run-7")

    assert (message.key, message.value) == (b"acme", b'{"amount": []}')
    assert dict(message.headers) == {
        "traceparent": b"00-1",
        "seatstream.code": b"wrong_type",
        "seatstream.field": b"amount",
        "seatstream.message": b"amount is a list; give a decimal",
        "seatstream.topic": b"credit-burn",
        "seatstream.partition": b"3",
        "seatstream.offset": b"120",
        "seatstream.timestamp": b"2026-03-16T09:30:00.123Z",
        "seatstream.id": b"run-7",
    }


def test_what_could_not_be_read_is_left_out_of_the_headers() -> None:
    [message] = dead_letter(source(key=None, value=None), Refusal(code="unreadable", message="no value"), None)

    assert (message.key, message.value) == (None, None)
    assert "seatstream.id" not in dict(message.headers) and "seatstream.field" not in dict(message.headers)


def test_a_letter_that_was_sent_again_and_refused_again_says_the_last_reason_once() -> None:
    [first] = dead_letter(source(), REFUSAL, "run-7")
    [second] = dead_letter(source(offset=500, headers=first.headers), REFUSAL, "run-7")

    assert [value for name, value in second.headers if name == "seatstream.offset"] == [b"500"]


def test_an_original_of_the_largest_size_that_a_client_may_send_is_one_letter() -> None:
    assert len(dead_letter(source(value=b"x" * (1 << 20)), REFUSAL, "run-7")) == 1
    assert LETTER_BYTES < OWN_MESSAGE_BYTES


def test_an_original_that_fits_no_message_comes_in_parts_that_make_it_whole() -> None:
    value = bytes(range(256)) * 40_000
    letters = dead_letter(source(value=value), REFUSAL, "run-7")

    assert b"".join(letter.value or b"" for letter in letters) == value
    assert [dict(letter.headers)["seatstream.part"] for letter in letters] == [b"1", b"2", b"3"]
    assert {dict(letter.headers)["seatstream.parts"] for letter in letters} == {b"3"}


def size(message: Message) -> int:
    headers = sum(len(name.encode()) + len(value or b"") + 16 for name, value in message.headers)
    return len(message.key or b"") + len(message.value or b"") + headers


@given(st.integers(0, 9_000), st.integers(0, 9_000), st.integers(0, 9_000), st.text(max_size=3_000))
def test_every_letter_fits_its_topic_whatever_was_sent(key: int, value: int, header: int, message: str) -> None:
    most = 32_000
    sent = source(key=b"k" * key * 2, value=b"v" * value * 9, headers=[("h", b"h" * header)])
    refusal = msgspec.structs.replace(REFUSAL, message=message.encode(errors="replace").decode())

    assert all(size(letter) <= most for letter in dead_letter(sent, refusal, "run-7", most))


def test_a_key_or_headers_that_fit_no_message_are_cut_and_the_letter_says_so() -> None:
    big = source(key=b"k" * 20_000, headers=[("h", b"h" * 20_000)])
    [letter] = dead_letter(big, REFUSAL, "run-7", 32_000)

    assert letter.key == b"k" * 8_000
    assert dict(letter.headers)["seatstream.cut"] == b"key,headers"
    assert "h" not in dict(letter.headers)


# --- threshold-alert -------------------------------------------------------------------------------------------------

ALERT = Alert(
    alert_id="a1",
    rule_id="low",
    name="Low",
    state="in_alarm",
    customer_id="acme",
    contract_id="c-1",
    seat_id="ana",
    metric="balance",
    level=10_000_000_000,
    value="9.5",
    credit_type="credits",
    time=MARCH,
    cause_type="credit-burn",
    cause_id="run-1",
)


def test_an_alert_says_what_is_there_and_leaves_out_the_rest() -> None:
    message = threshold_alert(ALERT, AS_OF)
    assert message.key == b"acme"
    assert msgspec.json.decode(message.value or b"") == {
        "alert_id": "a1",
        "rule_id": "low",
        "name": "Low",
        "state": "in_alarm",
        "customer_id": "acme",
        "contract_id": "c-1",
        "seat_id": "ana",
        "metric": "balance",
        "level": "10",
        "value": "9.5",
        "credit_type": "credits",
        "time": "2026-03-01T00:00:00Z",
        "cause": {"type": "credit-burn", "id": "run-1"},
        "as_of": AS_OF,
    }


def test_an_alert_about_seats_says_how_many_there_are_and_that_it_is_late() -> None:
    alert = msgspec.structs.replace(
        ALERT, subscription_id="team", seat_id=None, feature_code="editor", quantity=5, included=5, late=True
    )
    said = msgspec.json.decode(threshold_alert(alert, AS_OF).value or b"")
    assert (said["subscription_id"], said["feature_code"], said["quantity"], said["included"]) == (
        "team",
        "editor",
        5,
        5,
    )
    assert said["late"] is True
    assert "seat_id" not in said
