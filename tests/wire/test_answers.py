"""The ledger's answers in the JSON that the wire shows."""

from ledger.answers import Balance, Counts, Entry, GrantBalance, Window
from ledger.instants import instant
from ledger.outcome import Folded, Refusal, Refused, Repeated, Scope, Waiting
from wire import answers

MARCH, APRIL = instant("2026-03-01T00:00:00Z"), instant("2026-04-01T00:00:00Z")
ANA = Scope(customer_id="acme", contract_id="c-1", seat_id="ana@acme.test")


def test_the_balance_of_the_wire_is_written_as_there() -> None:
    """`granted`, `recurring_credit_id` and `subscription_id` of a grant are told in the text beside the example."""
    march = GrantBalance(
        grant_id="march",
        slice=0,
        balance=18_750_000_000,
        granted=20_000_000_000,
        amount=20_000_000_000,
        priority=100,
        effective_at=MARCH,
        expires_at=APRIL,
        subscription_id="team",
    )
    row = answers.balance(
        Balance(scope=ANA, balance=18_750_000_000, granted=20_000_000_000, overage=0, grants=(march,)),
        available=518_750_000_000,
    )

    assert row == {
        "contract_id": "c-1",
        "scope": {"seat_id": "ana@acme.test"},
        "credit_type": "credits",
        "balance": "18.75",
        "granted": "20",
        "available": "518.75",
        "overage": "0",
        "grants": [
            {
                "grant_id": "march",
                "slice": 0,
                "recurring_credit_id": "march",
                "subscription_id": "team",
                "balance": "18.75",
                "granted": "20",
                "amount": "20",
                "priority": 100,
                "effective_at": "2026-03-01T00:00:00Z",
                "expires_at": "2026-04-01T00:00:00Z",
            }
        ],
    }


def test_the_customers_pool_has_no_contract_and_an_endless_grant_no_end() -> None:
    gift = GrantBalance(grant_id="gift", balance=0, granted=0, amount=0, priority=100, effective_at=MARCH)
    row = answers.balance(Balance(scope=Scope(customer_id="acme"), balance=0, granted=0, overage=0, grants=(gift,)))

    assert (row["contract_id"], row["scope"], row["grants"][0]["expires_at"]) == (None, {"pool": True}, None)
    assert "available" not in row and "slice" not in row["grants"][0]


def test_a_seat_of_another_kind_says_which() -> None:
    assert answers.scope(Scope(customer_id="acme", contract_id="c-1", seat_id="m-1", seat_group_key="machine")) == {
        "seat_id": "m-1",
        "seat_group_key": "machine",
    }


def test_an_entry_is_a_signed_line_with_its_cause() -> None:
    row = answers.entry(
        Entry(
            time=MARCH,
            type="burned",
            amount=-1_250_000_000,
            scope=ANA,
            grant_id="march",
            slice=0,
            cause_type="credit-burn",
            cause_id="run-7f3",
            balance_after=18_750_000_000,
        )
    )

    assert (row["type"], row["amount"], row["balance_after"]) == ("burned", "-1.25", "18.75")
    assert row["cause"] == {"type": "credit-burn", "id": "run-7f3"}
    assert "beside" not in row


def test_an_outcome_says_what_became_of_a_fact() -> None:
    refusal = Refusal(code="below_zero", field="operations[0]", message="...", details={"current": 1, "requested": 2})
    folded, refused = Folded(result={"paid": []}), Refused(refusal=refusal)
    waiting = Waiting(message="contract c-9 is not known yet", code="unknown_contract")

    assert answers.outcome("a", folded) == {"id": "a", "outcome": "folded", "result": {"paid": []}}
    assert answers.outcome("a", refused) == {
        "id": "a",
        "outcome": "refused",
        "code": "below_zero",
        "field": "operations[0]",
        "message": "...",
        "details": {"current": 1, "requested": 2},
    }
    assert answers.outcome("a", waiting)["outcome"] == "waiting"
    assert answers.outcome("a", Repeated(first=folded, differs=True)) == {
        "id": "a",
        "outcome": "repeated",
        "result": {"paid": []},
        "differs": True,
    }
    assert answers.outcome("a", Repeated(first=refused, differs=False))["outcome"] == "refused"


def test_counts_and_windows_are_told_in_the_words_of_the_wire() -> None:
    counted = Counts(
        subscription_id="team",
        feature_code="editor",
        total=3,
        assigned=2,
        unassigned=1,
        included=2,
        extra=1,
        paid=3,
        pending_removals=0,
        version=1,
    )
    assert (answers.counts(counted)["quantity"], answers.counts(counted)["feature_code"]) == (3, "editor")
    assert answers.window(Window(time=MARCH, balance=1, granted=2, burned=3, overage=0)) == {
        "time": "2026-03-01T00:00:00Z",
        "balance": "0.000000001",
        "granted": "0.000000002",
        "burned": "0.000000003",
        "overage": "0",
    }
