"""Each rule of the wire for what comes in, as a sentence; then anything at all, which must never crash the reader."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.facts import (
    AddSeats,
    AnyFact,
    BurnVoided,
    ContractCreated,
    ContractEnded,
    ContractUpdated,
    CreditBurn,
    CreditsGranted,
    CreditsVoided,
    Recurrence,
    RecurringCreditAdded,
    Rollover,
    Rounding,
    SeatChange,
    SeatName,
    Subscription,
    SubscriptionAdded,
    SubscriptionEnded,
    SubscriptionUpdated,
    Topic,
    topic,
)
from ledger.instants import FOREVER, Every, instant
from tests.wire import drawn
from wire.burns import quick_burn
from wire.codec import MESSAGE_BYTES, Unreadable, read, write

CODES = {
    "unreadable",
    "missing_field",
    "wrong_type",
    "unknown_value",
    "amount_too_fine",
    "amount_out_of_range",
    "too_large",
}
MARCH_16 = instant("2026-03-16T00:00:00Z")
APRIL = instant("2026-04-01T00:00:00Z")

BURN: dict[str, Any] = {
    "id": "run-7f3",
    "customer_id": "acme",
    "seat_id": "ana@acme.test",
    "amount": "1.25",
    "time": "2026-03-16T09:30:00Z",
}
EDIT: dict[str, Any] = {
    "id": "edit-91",
    "customer_id": "acme",
    "contract_id": "c-1",
    "subscription_id": "team",
    "time": "2026-03-16T00:00:00Z",
    "operations": [{"op": "remove_seats", "seat_ids": ["bo@acme.test"]}, {"op": "add_unassigned_seats", "quantity": 1}],
}


def change(type: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": "x",
        "customer_id": "acme",
        "contract_id": "c-1",
        "time": "2026-03-16T00:00:00Z",
        "type": type,
    } | fields


CREDIT: dict[str, Any] = {"recurring_credit_id": "monthly", "amount": 20, "every": "P1M"}
SUBSCRIPTION: dict[str, Any] = {"subscription_id": "team", "mode": "seats"}


def edit(*operations: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return EDIT | {"operations": list(operations)} | fields


def said(fact: dict[str, Any]) -> AnyFact | Unreadable:
    return read(_topic(fact), None, msgspec.json.encode(fact))


def _topic(fact: dict[str, Any]) -> Topic:
    if "operations" in fact:
        return "seat-change"
    return "credit-burn" if fact.get("type") in (None, "burn.voided", "credit.burned") else "contract-change"


def refused(fact: dict[str, Any] | bytes, of: Topic | None = None) -> tuple[str, str | None]:
    """The code and the field of the refusal."""
    if isinstance(fact, bytes):
        found = read(of or "credit-burn", None, fact)
    else:
        found = read(of or _topic(fact), None, msgspec.json.encode(fact))
    assert isinstance(found, Unreadable), found
    return found.refusal.code, found.refusal.field


def read_raw(text: str) -> AnyFact | Unreadable:
    return read("credit-burn", None, text.encode())


# --- burns -----------------------------------------------------------------------------------------------------------


def test_the_burn_of_the_wire_is_read() -> None:
    assert said(BURN) == CreditBurn(
        id="run-7f3",
        customer_id="acme",
        seat_id="ana@acme.test",
        amount=1_250_000_000,
        time=instant("2026-03-16T09:30:00Z"),
    )


def test_null_is_the_same_as_leaving_a_field_out_and_unknown_fields_are_ignored() -> None:
    left_out = said(BURN)

    assert said(BURN | {"contract_id": None, "credit_type": None, "on_unknown": None, "type": None}) == left_out
    assert said(BURN | {"properties": None}) == left_out
    assert said(BURN | {"colour": {"deep": [1.5, "x"]}}) == left_out


def test_a_number_is_read_as_exactly_as_a_text() -> None:
    """L1: no float in between. As a binary float this one would end in ...7."""
    number = read_raw('{"id":"a","customer_id":"b","time":"2026-03-16T00:00:00Z","amount":123456789012345.123456789}')
    as_text = read_raw(
        '{"id":"a","customer_id":"b","time":"2026-03-16T00:00:00Z","amount":"123456789012345.123456789"}'
    )

    assert isinstance(number, CreditBurn)
    assert number == as_text
    assert number.amount == 123_456_789_012_345_123_456_789


@pytest.mark.parametrize("amount", ["0", 0, "-1", -0.5, "0.000000000", 10**15, "1e15", 10**400])
def test_a_burn_is_above_zero_and_below_ten_to_the_fifteenth(amount: object) -> None:
    assert refused(BURN | {"amount": amount}) == ("amount_out_of_range", "amount")


def test_a_tenth_decimal_is_refused_and_the_law_is_named() -> None:
    found = said(BURN | {"amount": "0.0000000001"})

    assert isinstance(found, Unreadable)
    assert (found.refusal.code, found.refusal.field, found.refusal.law) == ("amount_too_fine", "amount", "L1")
    assert "at most 9 digits" in found.refusal.message


@pytest.mark.parametrize("amount", [True, [], {}, "many", "", " 1", "0x10", "1_000", "\u0661"])
def test_what_is_no_number_is_of_the_wrong_type(amount: object) -> None:
    assert refused(BURN | {"amount": amount}) == ("wrong_type", "amount")


@pytest.mark.parametrize("name", ["id", "customer_id", "time", "amount"])
def test_a_burn_without_a_field_that_it_needs_is_refused_by_that_name(name: str) -> None:
    assert refused({field: value for field, value in BURN.items() if field != name}) == ("missing_field", name)
    assert refused(BURN | {name: None}) == ("missing_field", name)


def test_an_id_has_1_to_128_characters_and_other_ids_up_to_200() -> None:
    assert isinstance(said(BURN | {"id": "ü" * 128, "customer_id": "𝄞" * 200, "seat_id": "s" * 200}), CreditBurn)
    assert refused(BURN | {"id": "x" * 129}) == ("too_large", "id")
    assert refused(BURN | {"seat_id": "x" * 201}) == ("too_large", "seat_id")
    assert refused(BURN | {"id": ""}) == ("unknown_value", "id")
    assert refused(BURN | {"contract_id": ""}) == ("unknown_value", "contract_id")
    assert refused(BURN | {"contract_id": 7}) == ("wrong_type", "contract_id")


def test_an_instant_has_an_offset_and_keeps_its_microseconds() -> None:
    def at(time: str) -> object:
        found = said(BURN | {"time": time})
        return found.time if isinstance(found, CreditBurn) else found

    assert at("2026-03-16T00:00:00Z") == at("2026-03-16t02:00:00+02:00") == MARCH_16
    assert at("2026-03-16T00:00:00.123456999Z") == MARCH_16 + 123_456
    assert at("2026-03-16T00:00:59.5Z") == MARCH_16 + 59_500_000
    assert at("1969-12-31T23:59:59.9Z") == -100_000


@pytest.mark.parametrize(
    "time",
    [
        "2026-03-16T00:00:00",
        "2026-03-16",
        "yesterday",
        "",
        1773619200,
        True,
        {},
        "2026-03-16T00:00:60Z",
        "2026-03-16T00:00:5Z",
        "2026-03-16T00:00:00.Z",
        "2026-03-16T00:00:00.٣Z",
        "2026-03-16T00:00:٣0Z",
        "2026-03-16T00:00:99.5Z",
        "2026-13-16T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+12:00",
        "10000-01-01T00:00:00Z",
    ],
)
def test_any_other_instant_is_of_the_wrong_type(time: object) -> None:
    assert refused(BURN | {"time": time}) == ("wrong_type", "time")


def test_the_type_of_a_burn_goes_without_saying() -> None:
    assert said(BURN | {"type": "credit.burned"}) == said(BURN)
    assert refused(BURN | {"type": "credit.earned"}, "credit-burn") == ("unknown_value", "type")
    assert refused(BURN | {"type": 1}, "credit-burn") == ("wrong_type", "type")


def test_a_burn_is_taken_back_by_its_id() -> None:
    voided = said(
        {"type": "burn.voided", "id": "v-1", "customer_id": "acme", "time": BURN["time"], "burn_id": "run-7f3"}
    )

    assert isinstance(voided, BurnVoided)
    assert voided.burn_id == "run-7f3"
    assert refused(BURN | {"type": "burn.voided"}) == ("missing_field", "burn_id")


def test_a_burn_with_properties_is_read_the_quick_way_too() -> None:
    message = b'{"id":"a","customer_id":"b","time":"2026-03-16T00:00:00Z","amount":1,"properties":{"model":"large"}}'

    found = quick_burn(message)

    assert found is not None and bytes(found.properties) == b'{"model":"large"}'
    left_out = quick_burn(message.replace(b'{"model":"large"}', b"null"))
    assert left_out is not None and left_out.properties is None
    assert quick_burn(message.replace(b'{"model":"large"}', b"[]")) is None


def test_properties_are_kept_as_they_were_sent() -> None:
    message = '{"id":"a","customer_id":"b","time":"2026-03-16T00:00:00Z","amount":1,"properties": {"n": 1.50, "x":[]} }'
    found = read_raw(message)

    assert isinstance(found, CreditBurn) and found.properties is not None
    assert bytes(found.properties) == b'{"n": 1.50, "x":[]}'
    assert refused(BURN | {"properties": [1]}) == ("wrong_type", "properties")


def test_what_an_unknown_name_means_is_wait_or_refuse() -> None:
    found = said(BURN | {"on_unknown": "refuse"})

    assert isinstance(found, CreditBurn) and found.on_unknown == "refuse"
    assert refused(BURN | {"on_unknown": "guess"}) == ("unknown_value", "on_unknown")


# --- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"null",
        b"[]",
        b'"burn"',
        b"17",
        b"{",
        b"{} {}",
        b"{'id': 1}",
        b'{"amount": NaN}',
        b'{"amount": Infinity}',
        b'{"amount": -Infinity}',
        b'{"amount": 01}',
        b'{"id": "\xff"}',
        b'{"other": "\xff"}',
        b'{"id": "\\ud800"}',
        b'{"other": "\\udc00 alone"}',
        b"\xef\xbb\xbf{}",
        '{"id": "a"}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"x":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"x":' + b"9" * 5_000 + b"}",
        # Strings that never end, in strings that never end: to be looked at once, not once for each quote.
        b'{"x":"' + rb"{\"" * 300_000,
    ],
    ids=lambda message: repr(message[:20]),
)
def test_what_is_no_json_object_in_utf_8_is_unreadable(message: bytes) -> None:
    for of in ("credit-burn", "seat-change", "contract-change"):
        assert refused(message, of) == ("unreadable", None)


def test_a_message_without_a_value_is_unreadable() -> None:
    found = read("credit-burn", b"acme", None)

    assert isinstance(found, Unreadable)
    assert (found.refusal.code, found.customer_id, found.id) == ("unreadable", None, None)


def test_nesting_is_bounded_the_same_for_every_reader() -> None:
    """Whether a message can be read must not depend on how deep the reader's own stack is (L15)."""

    def nested(levels: int) -> bytes:
        return msgspec.json.encode(BURN)[:-1] + b',"x":' + b"[" * levels + b"]" * levels + b"}"

    assert isinstance(read("credit-burn", None, nested(255)), CreditBurn)
    assert refused(nested(256)) == ("unreadable", None)
    brackets = BURN | {"x": "[" * 2_000 + '"{\\'}
    assert isinstance(said(brackets), CreditBurn)


def test_a_message_above_one_megabyte_is_too_large() -> None:
    def sized(size: int) -> bytes:
        message = msgspec.json.encode(BURN | {"x": ""})
        return message[:-2] + b"x" * (size - len(message)) + message[-2:]

    assert isinstance(read("credit-burn", None, sized(MESSAGE_BYTES)), CreditBurn)
    assert refused(sized(MESSAGE_BYTES + 1)) == ("too_large", None)
    small = sized(200)
    for key, headers in ((b"k" * MESSAGE_BYTES, []), (b"k", [("h", b"h" * MESSAGE_BYTES)]), (b"k", [("h", None)])):
        found = read("credit-burn", key, small, headers)
        assert (isinstance(found, Unreadable) and found.refusal.code) == (headers != [("h", None)] and "too_large")


@pytest.mark.parametrize("name", ["subscriptions", "recurring_credits", "grants"])
def test_a_contract_that_brings_thousands_along_is_too_large(name: str) -> None:
    contract = {
        "type": "contract.created", "id": "k", "customer_id": "acme", "contract_id": "c", "time": "2026-03-01T00:00:00Z",
        name: [{}] * 1_001,
    }  # fmt: skip
    found = read("contract-change", None, msgspec.json.encode(contract))

    assert isinstance(found, Unreadable)
    assert (found.refusal.code, found.refusal.field) == ("too_large", name)


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    for last in ('"2"', '"\\u0032"'):
        message = f'{{"id":"a","customer_id":"b","time":"2026-03-16T00:00:00Z","amount":"1","amount":{last}}}'
        found = read_raw(message)
        assert isinstance(found, CreditBurn) and found.amount == 2_000_000_000


def test_a_refusal_says_whose_fact_it_was_as_far_as_that_could_be_read() -> None:
    found = said(BURN | {"amount": "much"})
    assert isinstance(found, Unreadable)
    assert (found.customer_id, found.id) == ("acme", "run-7f3")
    assert found.refusal.message == 'amount is "much"; give a decimal such as "1.25"'

    nameless = said(BURN | {"id": 7, "customer_id": "x" * 201})
    assert isinstance(nameless, Unreadable)
    assert (nameless.customer_id, nameless.id) == (None, None)


def test_the_key_does_not_matter() -> None:
    message = msgspec.json.encode(BURN)

    assert read("credit-burn", None, message) == read("credit-burn", b"somebody else", message)


# --- edits -----------------------------------------------------------------------------------------------------------


def test_the_edit_of_the_wire_is_read_and_its_operations_start_with_it() -> None:
    found = said(EDIT)

    assert isinstance(found, SeatChange)
    assert [operation.starting_at for operation in found.operations] == [MARCH_16, MARCH_16]
    assert (found.contract_id, found.subscription_id, found.sequence, found.expected_version) == (
        "c-1",
        "team",
        0,
        None,
    )


def test_a_seat_is_a_text_or_an_object_and_the_path_says_which_one_is_wrong() -> None:
    found = said(edit({"op": "add_seats", "seat_ids": ["ana", {"seat_id": "bo", "name": "Bo", "email": None}]}))

    assert isinstance(found, SeatChange)
    assert found.operations[0] == AddSeats(
        starting_at=MARCH_16, seat_ids=(SeatName(seat_id="ana"), SeatName(seat_id="bo", name="Bo"))
    )
    quantity = {"op": "add_unassigned_seats", "quantity": 1}
    for seat, refusal in {
        7: ("wrong_type", "operations[1].seat_ids[1]"),
        "": ("unknown_value", "operations[1].seat_ids[1]"),
        "x" * 201: ("too_large", "operations[1].seat_ids[1]"),
        None: ("missing_field", "operations[1].seat_ids[1]"),
    }.items():
        assert refused(edit(quantity, {"op": "add_seats", "seat_ids": ["ana", seat]})) == refusal
    nameless = edit({"op": "set_seats", "seat_ids": [{"name": "Bo"}]})
    assert refused(nameless) == ("missing_field", "operations[0].seat_ids[0].seat_id")
    assert refused(edit({"op": "set_seats"})) == ("missing_field", "operations[0].seat_ids")
    assert refused(edit({"op": "set_seats", "seat_ids": "ana"})) == ("wrong_type", "operations[0].seat_ids")


def test_an_unknown_operation_is_refused_by_its_path() -> None:
    assert refused(edit({"op": "add_unassigned_seats", "quantity": 1}, {"op": "swap"})) == (
        "unknown_value",
        "operations[1].op",
    )
    assert refused(edit({})) == ("missing_field", "operations[0].op")
    assert refused(EDIT | {"operations": ["add"]}) == ("wrong_type", "operations[0]")
    assert refused(EDIT | {"operations": None}) == ("missing_field", "operations")
    assert refused(EDIT | {"operations": {}}) == ("wrong_type", "operations")


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ({"op": "set_quantity", "quantity": -1}, "unknown_value"),
        ({"op": "set_quantity", "quantity": 10**9 + 1}, "unknown_value"),
        ({"op": "set_quantity", "quantity": 10**30}, "unknown_value"),
        ({"op": "set_quantity", "quantity": 1.5}, "wrong_type"),
        ({"op": "set_quantity", "quantity": "3"}, "wrong_type"),
        ({"op": "set_quantity", "quantity": True}, "wrong_type"),
        ({"op": "add_unassigned_seats", "quantity": 0}, "unknown_value"),
        ({"op": "remove_unassigned_seats", "quantity": 0}, "unknown_value"),
        ({"op": "remove_unassigned_seats"}, "missing_field"),
    ],
)
def test_quantities_are_whole_and_within_their_bounds(operation: dict[str, Any], code: str) -> None:
    assert refused(edit(operation)) == (code, "operations[0].quantity")


def test_a_delta_of_zero_is_refused_and_a_whole_number_may_be_written_with_a_point() -> None:
    assert refused(edit({"op": "change_quantity", "delta": 0})) == ("unknown_value", "operations[0].delta")
    assert said(edit({"op": "change_quantity", "delta": -3.0})) == said(edit({"op": "change_quantity", "delta": -3}))


def test_every_operation_needs_a_subscription_its_own_or_the_edits() -> None:
    nobodys = {name: value for name, value in EDIT.items() if name != "subscription_id"}

    assert refused(nobodys) == ("missing_field", "operations[0].subscription_id")
    assert refused(nobodys | {"operations": []}) == ("missing_field", "subscription_id")
    own = nobodys | {"operations": [{"op": "set_quantity", "quantity": 1, "feature_code": "editor"}]}
    assert isinstance(said(own), SeatChange)
    assert isinstance(said(nobodys | {"feature_code": "editor"}), SeatChange)


def test_an_edit_holds_up_to_100_operations_and_10_000_seats() -> None:
    one = {"op": "add_seats", "seat_ids": ["ana"]}
    assert isinstance(said(edit(*[one] * 100)), SeatChange)
    assert refused(edit(*[one] * 101)) == ("too_large", "operations")
    many = {"op": "add_seats", "seat_ids": [f"s{n}" for n in range(5_000)]}
    assert isinstance(said(edit(many, many)), SeatChange)
    assert refused(edit(many, many, one)) == ("too_large", "operations")


def test_an_expected_version_that_is_a_number_means_the_only_subscription_of_the_edit() -> None:
    def versions(fact: dict[str, Any]) -> object:
        found = said(fact)
        return found.expected_version if isinstance(found, SeatChange) else found

    elsewhere = {"op": "set_quantity", "quantity": 1, "subscription_id": "other"}
    assert versions(EDIT | {"expected_version": 3}) == {"team": 3}
    assert versions(edit(elsewhere, expected_version=3)) == {"other": 3}
    assert versions(EDIT | {"expected_version": {"team": 3, "other": 0}}) == {"team": 3, "other": 0}
    both = edit(elsewhere, EDIT["operations"][1], expected_version=3)
    assert refused(both) == ("wrong_type", "expected_version")
    assert refused(EDIT | {"expected_version": {"team": -1}}) == ("unknown_value", "expected_version.team")
    assert refused(EDIT | {"expected_version": "3"}) == ("wrong_type", "expected_version")


# --- contracts -------------------------------------------------------------------------------------------------------


def test_what_a_contract_brings_along_starts_with_it_unless_it_says_when() -> None:
    found = said(
        change(
            "contract.created",
            starting_at="2026-04-01T00:00:00Z",
            subscriptions=[SUBSCRIPTION],
            recurring_credits=[CREDIT, CREDIT | {"starting_at": "2026-03-16T00:00:00Z"}],
            grants=[{"grant_id": "gift", "amount": "5", "contract_id": "another"}],
        )
    )

    assert isinstance(found, ContractCreated)
    assert found.starting_at == found.subscriptions[0].starting_at == APRIL
    assert found.subscriptions[0].billing_period == Recurrence(every=Every(1, "month"), anchor=APRIL)
    assert [(credit.starting_at, credit.anchor) for credit in found.recurring_credits] == [
        (APRIL, APRIL),
        (MARCH_16, MARCH_16),
    ]
    assert (found.grants[0].effective_at, found.grants[0].expires_at) == (APRIL, FOREVER)
    # The contract that is created is the one that its grants belong to.
    assert found.grants[0].contract_id == "c-1"


def test_a_contract_starts_when_it_is_submitted_unless_it_says_when() -> None:
    found = said(change("contract.created"))

    assert isinstance(found, ContractCreated)
    assert (found.starting_at, found.ending_before, found.overage) == (MARCH_16, FOREVER, "charge")


def test_an_added_subscription_or_credit_starts_at_the_facts_time() -> None:
    added = said(change("subscription.added", **SUBSCRIPTION))
    assert isinstance(added, SubscriptionAdded)
    assert added.subscription == Subscription(
        subscription_id="team",
        mode="seats",
        starting_at=MARCH_16,
        billing_period=Recurrence(every=Every(1, "month"), anchor=MARCH_16),
    )

    credit = said(change("recurring_credit.added", **CREDIT))
    assert isinstance(credit, RecurringCreditAdded)
    assert (credit.recurring_credit.starting_at, credit.recurring_credit.anchor) == (MARCH_16, MARCH_16)
    assert (credit.recurring_credit.proration, credit.recurring_credit.rounding) == ("first_and_last", Rounding())


def test_an_end_is_now_unless_it_says_when_and_never_lifts_it() -> None:
    for type, named in {
        "contract.ended": {},
        "subscription.ended": {"subscription_id": "team"},
        "recurring_credit.ended": {"recurring_credit_id": "monthly"},
    }.items():
        assert said(change(type, **named)).ending_before == MARCH_16  # type: ignore[union-attr]
        assert said(change(type, ending_before="never", **named)).ending_before == FOREVER  # type: ignore[union-attr]
        assert refused(change(type, ending_before="soon", **named)) == ("wrong_type", "ending_before")


def test_an_updated_contract_keeps_its_end_unless_it_says_another() -> None:
    ends = [
        said(change("contract.updated", **fields))
        for fields in ({"name": "new"}, {"ending_before": "2026-04-01T00:00:00Z"}, {"ending_before": "never"})
    ]

    assert [found.ending_before for found in ends if isinstance(found, ContractUpdated)] == [None, APRIL, FOREVER]


def test_every_other_end_is_an_instant() -> None:
    assert refused(change("contract.created", ending_before="never")) == ("wrong_type", "ending_before")
    ended = said(change("contract.created", ending_before="2020-01-01T00:00:00Z"))
    # An end before the start is a contract that never is (L2), not a mistake.
    assert isinstance(ended, ContractCreated)


def test_an_individual_credit_needs_a_subscription() -> None:
    lonely = CREDIT | {"allocation": "individual"}

    assert refused(change("recurring_credit.added", **lonely)) == ("missing_field", "subscription_id")
    brought = change("contract.created", recurring_credits=[CREDIT, lonely])
    assert refused(brought) == ("missing_field", "recurring_credits[1].subscription_id")
    assert isinstance(said(change("recurring_credit.added", subscription_id="team", **lonely)), RecurringCreditAdded)


def test_a_grant_belongs_to_a_contract_or_to_the_customer_but_a_seats_to_a_contract() -> None:
    gift: dict[str, Any] = {"grant_id": "gift", "amount": 0, "contract_id": None}

    found = said(change("credits.granted", **gift))
    assert isinstance(found, CreditsGranted)
    assert (found.grant.contract_id, found.grant.effective_at) == (None, MARCH_16)
    assert refused(change("credits.granted", **gift, seat_id="ana")) == ("missing_field", "contract_id")


def test_the_fields_of_an_object_are_named_by_their_path() -> None:
    for fact, refusal in (
        (
            change("contract.created", subscriptions=[SUBSCRIPTION, {"mode": "seats"}]),
            ("missing_field", "subscriptions[1].subscription_id"),
        ),
        (
            change("contract.created", subscriptions=[SUBSCRIPTION | {"mode": "seat"}]),
            ("unknown_value", "subscriptions[0].mode"),
        ),
        (change("contract.created", subscriptions=[7]), ("wrong_type", "subscriptions[0]")),
        (change("contract.created", grants=[{"grant_id": "g", "amount": "x"}]), ("wrong_type", "grants[0].amount")),
        (
            change("contract.created", recurring_credits=[CREDIT | {"every": "PT30M"}]),
            ("wrong_type", "recurring_credits[0].every"),
        ),
        (change("recurring_credit.added", **CREDIT, rollover={"min": 5, "max": 3}), ("unknown_value", "rollover.max")),
        (change("recurring_credit.added", **CREDIT, rollover={"min": -1}), ("amount_out_of_range", "rollover.min")),
        (change("recurring_credit.added", **CREDIT, rounding={"decimals": 10}), ("unknown_value", "rounding.decimals")),
        (change("recurring_credit.added", **CREDIT, rounding={"method": "up"}), ("unknown_value", "rounding.method")),
        (change("recurring_credit.added", **CREDIT, duration_periods=0), ("unknown_value", "duration_periods")),
        (change("recurring_credit.added", **CREDIT, duration_periods=1001), ("unknown_value", "duration_periods")),
        (change("recurring_credit.added", **CREDIT, priority=2**31), ("unknown_value", "priority")),
        (change("recurring_credit.added", **CREDIT | {"amount": -1}), ("amount_out_of_range", "amount")),
        (
            change("subscription.added", **SUBSCRIPTION, unit_price={"amount": 1}),
            ("missing_field", "unit_price.currency"),
        ),
        (change("subscription.added", **SUBSCRIPTION, prorate_charges="no"), ("wrong_type", "prorate_charges")),
        (change("subscription.added", **SUBSCRIPTION, name="x" * 1001), ("too_large", "name")),
        (change("credits.granted", grant_id="g", amount=1, recurrence={}), ("missing_field", "recurrence.every")),
        (change("credits.adjusted", grant_id="g", amount=0, reason=""), ("unknown_value", "amount")),
        (change("credits.adjusted", grant_id="g", amount=-1), ("missing_field", "reason")),
        (change("credits.voided", grant_id="g", slice=-1), ("unknown_value", "slice")),
        (change("contract.invented"), ("unknown_value", "type")),
    ):
        assert refused(fact, "contract-change") == refusal


def test_a_fact_without_a_type_is_refused_where_the_topic_has_several() -> None:
    assert refused(change("x") | {"type": None}, "contract-change") == ("missing_field", "type")


def test_a_void_is_now_unless_it_says_when() -> None:
    found = said(change("credits.voided", grant_id="march"))

    assert isinstance(found, CreditsVoided)
    assert (found.voided_at, found.slice, found.seat_id) == (MARCH_16, None, None)


def test_an_update_holds_what_changed_and_nothing_else() -> None:
    found = said(
        change("subscription.updated", subscription_id="team", included_seats=0, billing_period={}, rounding={})
    )

    assert isinstance(found, SubscriptionUpdated)
    assert (found.starting_at, found.changes.included_seats, found.changes.mode) == (MARCH_16, 0, None)
    assert found.changes.billing_period == Recurrence(every=Every(1, "month"), anchor=MARCH_16)
    assert found.changes.rounding == Rounding()


@pytest.mark.parametrize(
    "name", ["every", "anchor", "starting_at", "allocation", "subscription_id", "credit_type", "ending_before"]
)
def test_what_an_update_of_a_recurring_credit_cannot_change_is_refused(name: str) -> None:
    assert refused(change("recurring_credit.updated", recurring_credit_id="m", **{name: "x"})) == (
        "unknown_value",
        name,
    )


@pytest.mark.parametrize("name", ["quantity", "seat_ids", "unassigned_seats", "ending_before"])
def test_what_an_update_of_a_subscription_cannot_change_is_refused(name: str) -> None:
    assert refused(change("subscription.updated", subscription_id="team", **{name: 1})) == ("unknown_value", name)


def test_a_contract_brings_up_to_10_000_seats_along() -> None:
    many = SUBSCRIPTION | {"seat_ids": [f"s{n}" for n in range(10_001)]}

    half = SUBSCRIPTION | {"seat_ids": [f"s{n}" for n in range(5_001)]}
    assert refused(change("contract.created", subscriptions=[half, half])) == ("too_large", "subscriptions")
    assert refused(change("contract.created", subscriptions=[many])) == ("too_large", "subscriptions[0].seat_ids")
    assert refused(change("subscription.added", **many)) == ("too_large", "seat_ids")


def test_a_rollover_keeps_everything_unless_it_says_how_much() -> None:
    found = said(change("recurring_credit.added", **CREDIT, rollover={}))

    assert isinstance(found, RecurringCreditAdded)
    assert found.recurring_credit.rollover == Rollover(min=0, max=None)


# --- CloudEvents -----------------------------------------------------------------------------------------------------

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "7f3",
    "source": "/runs",
    "type": "credit.burned",
    "time": "2026-03-16T09:30:00Z",
    "subject": "acme",
    "data": {"seat_id": "ana@acme.test", "amount": "1.25", "id": "not this one"},
}


def binary(event: dict[str, Any]) -> list[tuple[str, bytes | None]]:
    return [(f"ce_{name}", value.encode()) for name, value in event.items() if name != "data"]


def test_a_specversion_of_null_is_none_whatever_way_the_burn_is_read() -> None:
    """A burn with `"specversion": null` was folded, unless anything else of it took the longer way."""
    for amount in ("1.25", r"\u0031.25"):
        message = '{"id":"a","customer_id":"b","time":"2026-03-16T00:00:00Z","specversion":null,"amount":"1.25"}'
        assert isinstance(read("credit-burn", None, message.replace("1.25", amount).encode()), CreditBurn)


def test_a_cloud_event_is_named_by_its_source_and_its_id() -> None:
    flat = said(BURN | {"id": "/runs\n7f3"})
    data = msgspec.json.encode(EVENT["data"])

    assert read("credit-burn", None, msgspec.json.encode(EVENT)) == flat
    assert read("credit-burn", None, data, binary(EVENT)) == flat
    assert read("credit-burn", None, data, dict(binary(EVENT))) == flat


def test_the_data_of_a_cloud_event_may_come_in_base64() -> None:
    encoded = {name: value for name, value in EVENT.items() if name != "data"}
    encoded["data_base64"] = "eyJhbW91bnQiOiAxfQ=="

    found = read("credit-burn", None, msgspec.json.encode(encoded))
    assert isinstance(found, CreditBurn) and found.amount == 1_000_000_000
    assert refused(encoded | {"data_base64": "?"}, "credit-burn") == ("wrong_type", "data_base64")


def test_the_properties_of_a_burn_in_a_cloud_event_are_kept_as_they_were_sent() -> None:
    event = msgspec.json.encode(EVENT).replace(b'"amount"', b'"properties": {"n": 1.50}, "amount"')

    found = read("credit-burn", None, event)
    assert isinstance(found, CreditBurn) and found.properties is not None
    assert bytes(found.properties) == b'{"n": 1.50}'


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"specversion": "0.3"}, ("unknown_value", "specversion")),
        ({"source": None}, ("missing_field", "source")),
        ({"source": "a\nb"}, ("unknown_value", "source")),
        ({"source": "x" * 201}, ("too_large", "source")),
        ({"id": None}, ("missing_field", "id")),
        ({"id": "x" * 129}, ("too_large", "id")),
        ({"type": None}, ("missing_field", "type")),
        ({"type": "credit.earned"}, ("unknown_value", "type")),
        ({"time": "noon"}, ("wrong_type", "time")),
        ({"subject": ""}, ("unknown_value", "subject")),
        ({"subject": None}, ("missing_field", "data.customer_id")),
        ({"data": {"amount": "x"}}, ("wrong_type", "data.amount")),
        ({"data": {"amount": 1, "properties": 1}}, ("wrong_type", "data.properties")),
        ({"data": "text"}, ("unreadable", None)),
        ({"data": None}, ("missing_field", "data.amount")),
    ],
)
def test_a_cloud_event_is_refused_by_the_name_that_its_producer_knows(
    fields: dict[str, Any], refusal: tuple[str, str]
) -> None:
    assert refused(EVENT | fields, "credit-burn") == refusal


def test_a_binary_event_is_refused_by_its_header() -> None:
    headers = [(name, value) for name, value in binary(EVENT) if name != "ce_subject"]
    for changed, refusal in (
        ([("ce_time", b"noon"), ("ce_subject", b"acme")], ("wrong_type", "ce_time")),
        ([("ce_source", b"\xff")], ("unreadable", "ce_source")),
        ([("ce_specversion", b"2")], ("unknown_value", "ce_specversion")),
        ([], ("missing_field", "customer_id")),
    ):
        found = read("credit-burn", None, b'{"amount": 1}', [*headers, *changed])
        assert isinstance(found, Unreadable)
        assert (found.refusal.code, found.refusal.field) == refusal
    empty = read("credit-burn", None, None, binary(EVENT))
    assert isinstance(empty, Unreadable) and empty.refusal.field == "amount"


def test_other_headers_change_nothing() -> None:
    message = msgspec.json.encode(BURN)

    for headers in ([("traceparent", b"00-1")], {"content-type": b"application/json"}, [("x", None)], ()):
        assert read("credit-burn", None, message, headers) == said(BURN)


def test_a_refused_event_says_whose_it_was() -> None:
    found = said(EVENT | {"data": {"amount": 0}})

    assert isinstance(found, Unreadable)
    assert (found.customer_id, found.id) == ("acme", "/runs\n7f3")


def test_contracts_and_edits_come_as_cloud_events_too() -> None:
    created = EVENT | {"type": "contract.ended", "data": {"contract_id": "c-1"}}
    edited = EVENT | {"type": "seat.changed", "data": EDIT}

    assert isinstance(read("contract-change", None, msgspec.json.encode(created)), ContractEnded)
    assert isinstance(read("seat-change", None, msgspec.json.encode(edited)), SeatChange)
    assert isinstance(said(change("subscription.ended", subscription_id="t")), SubscriptionEnded)


# --- anything at all -------------------------------------------------------------------------------------------------

topics: st.SearchStrategy[Topic] = st.sampled_from(["contract-change", "seat-change", "credit-burn"])
headers = st.one_of(
    st.none(),
    st.lists(
        st.tuples(
            st.sampled_from(
                ["ce_id", "ce_source", "ce_specversion", "ce_type", "ce_time", "ce_subject", "content-type", "x"]
            ),
            st.one_of(st.none(), st.binary(max_size=9), st.sampled_from([b"1.0", b"application/cloudevents+json"])),
        ),
        max_size=7,
    ),
)


def told(found: AnyFact | Unreadable) -> None:
    """What was read is a fact, or a refusal of the list that is fit for a header."""
    if isinstance(found, Unreadable):
        assert found.refusal.code in CODES
        assert found.refusal.message.encode() and len(found.refusal.message) < 800
        assert (found.refusal.field or "").encode() or found.refusal.field is None
    else:
        write(found)


@given(topics, st.one_of(st.none(), st.binary()), headers)
def test_any_bytes_are_a_fact_or_a_refusal(of: Topic, value: bytes | None, sent: Any) -> None:
    told(read(of, None, value, sent))


@given(topics, drawn.json_values, headers)
def test_any_json_is_a_fact_or_a_refusal(of: Topic, value: Any, sent: Any) -> None:
    told(read(of, None, msgspec.json.encode(value), sent))


@settings(max_examples=400)
@given(
    drawn.facts.flatmap(
        lambda fact: st.tuples(st.just(topic(fact)), drawn.spoilt(st.just(msgspec.json.decode(write(fact)))))
    )
)
def test_a_spoilt_fact_is_a_fact_or_a_refusal(case: tuple[Topic, Any]) -> None:
    of, value = case
    told(read(of, None, msgspec.json.encode(value)))


@settings(max_examples=400)
@given(
    drawn.burns.map(write).flatmap(
        lambda value: st.tuples(st.just(value), st.integers(0, len(value)), st.binary(max_size=3), st.integers(0, 2))
    )
)
def test_a_burn_with_other_bytes_in_it_is_a_fact_or_a_refusal(case: tuple[bytes, int, bytes, int]) -> None:
    value, at, bytes_in, gone = case
    told(read("credit-burn", None, value[:at] + bytes_in + value[at + gone :]))


@settings(max_examples=300)
@given(drawn.facts)
def test_a_fact_written_and_read_is_the_same(fact: AnyFact) -> None:
    assert read(topic(fact), None, write(fact)) == fact


def longer(value: bytes) -> AnyFact | Unreadable:
    """What the longer way reads: a header makes the quick one stand back."""
    return read("credit-burn", None, value, [("content-type", b"application/json")])


@settings(max_examples=400)
@given(
    st.one_of(
        drawn.burns.map(write),
        drawn.spoilt(drawn.burns.map(lambda burn: msgspec.json.decode(write(burn)))).map(msgspec.json.encode),
    ),
    st.data(),
)
def test_the_quick_way_and_the_longer_way_read_the_same_burn(value: bytes, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(value)))
        insertion = st.one_of(
            st.binary(max_size=2), st.sampled_from([b"\\ud800", b"\\u0041", b"\\x", b"[", b"1.", b"\xff"])
        )
        value = value[:at] + data.draw(insertion) + value[at:]
    quick = quick_burn(value)
    if quick is not None:
        assert quick == longer(value)


@given(
    st.text("0123456789", min_size=1, max_size=25),
    st.text("0123456789", max_size=12),
    st.sampled_from(["", "e3", "E-2"]),
)
def test_a_number_and_its_text_are_one_amount(whole: str, fraction: str, exponent: str) -> None:
    number = (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "") + exponent
    message = '{"id":"a","customer_id":"b","time":"2026-03-16T00:00:00Z","amount":%s}'
    as_number, as_text = (read_raw(message % amount) for amount in (number, f'"{number}"'))
    if isinstance(as_number, CreditBurn):
        assert as_number == as_text
    else:
        assert isinstance(as_number, Unreadable) and isinstance(as_text, Unreadable)
        assert as_number.refusal.code == as_text.refusal.code


def test_a_sequence_beyond_what_an_amount_may_be_can_be_written_with_a_fraction() -> None:
    edit = (
        b'{"id": "e", "customer_id": "acme", "subscription_id": "team", "time": "2026-03-16T00:00:00Z", "operations": [],'
        b' "sequence": 1000000000000000.0}'
    )
    assert read("seat-change", None, edit).sequence == 10**15  # type: ignore[union-attr]
    for wild in (b"1e999999999", b"1e-999999999"):
        assert isinstance(read("seat-change", None, edit.replace(b"1000000000000000.0", wild)), Unreadable)
