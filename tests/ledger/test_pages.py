"""What is answered a few at a time, by pencil: who has a place, in which order, and where a page goes on."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from ledger import desks, paging
from ledger.amounts import text
from ledger.desks import BalancePlace
from ledger.entries import Span
from ledger.facts import ContractCreated, CreditBurn, CreditsGranted, Grant
from ledger.instants import FOREVER, ORIGIN, Instant, instant
from ledger.ledger import Ledger
from ledger.outcome import Refused
from ledger.paging import SeatPlace, SegmentPlace
from ledger.rows import Book
from tests.ledger.language import BOUNDS, facts, play
from tests.ledger.memory import MemoryRows

P = TypeVar("P")
R = TypeVar("R")

#: Two contracts, one that carries no seats of its own; three kinds of credits, and one seat of another kind.
CROWD = """
    contract d from 2026-01-01 until 03-01
    grant theirs 4
    contract c from 2026-01-01
    subscription viewer seats vi code view
    subscription team seats bo ana code edit
    recurring monthly 10 per seat of team every P1M
    grant ours 100
    grant gems 7 to seat cy tokens
    grant all 5 to customer
    burn 2 by ana at 01-05 id b1
    remove bo at 01-20
    tick 02-10
"""


def told(story: str) -> Book:
    book: Book = play(story).ledger.book  # type: ignore[union-attr]
    book.flush()
    return book


def at(day: str) -> Instant:
    return instant(f"2026-{day}T00:00:00Z")


def places(found: Iterator[tuple[P, R | None]]) -> list[tuple[Any, bool]]:
    """Each place, and whether there is anything."""
    return [(tuple(place) if isinstance(place, tuple) else place, row is not None) for place, row in found]


def had(found: Iterator[tuple[BalancePlace, desks.Held | None]]) -> dict[str, str]:
    """Who has what: `c/ana: 8 of 113`, the second what may be drawn on altogether."""
    said = {}
    for place, row in found:
        if row is not None:
            of = "" if row.available is None else f" of {text(row.available)}"
            said[f"{place.contract_id}/{place.seat_id}"] = f"{text(row.balance.balance)}{of}"
    return said


# --- customers -------------------------------------------------------------------------------------------------------


def test_customers_come_by_id_and_go_on_behind_one() -> None:
    ledger = Ledger(MemoryRows(), **BOUNDS)
    for customer_id in ("bee", "Ant", "cat"):
        fact = CreditsGranted(
            id="g",
            customer_id=customer_id,
            time=at("01-01"),
            grant=Grant(grant_id="g", amount=1, effective_at=at("01-01")),
        )
        ledger.fold(fact, at("01-01"))
    ledger.flush()
    assert places(paging.customers(ledger.book)) == [("Ant", True), ("bee", True), ("cat", True)]
    assert places(paging.customers(ledger.book, behind="Ant")) == [("bee", True), ("cat", True)]
    assert places(paging.customers(ledger.book, behind="b")) == [("bee", True), ("cat", True)]
    # Who does not fit has a place all the same, so that a search ends somewhere.
    assert places(paging.customers(ledger.book, search="A")) == [("Ant", True), ("bee", False), ("cat", True)]


def test_a_customer_of_whom_only_a_refusal_is_remembered_is_not_known() -> None:
    ledger = Ledger(MemoryRows(), **BOUNDS)
    ledger.advance(at("01-01"))
    burn = CreditBurn(id="b", customer_id="acme", contract_id="c", amount=1, time=at("01-05"))
    assert isinstance(ledger.fold(burn, at("01-01")), Refused)
    ledger.flush()
    assert not any(there for _, there in places(paging.customers(ledger.book)))


# --- who sits where --------------------------------------------------------------------------------------------------


def test_who_sits_where_comes_by_contract_subscription_and_seat() -> None:
    book = told(CROWD)
    now = at("02-01")
    assert places(paging.sittings(book, "acme", now)) == [
        (("c", "team", "ana"), True),
        (("c", "team", "bo"), False),
        (("c", "viewer", "vi"), True),
    ]
    assert places(paging.sittings(book, "acme", at("01-19")))[1] == (("c", "team", "bo"), True)
    assert places(paging.sittings(book, "acme", now, behind=SeatPlace("c", "team", "ana"))) == [
        (("c", "team", "bo"), False),
        (("c", "viewer", "vi"), True),
    ]
    assert places(paging.sittings(book, "acme", now, behind=SeatPlace("c", "team", "zz"))) == [
        (("c", "viewer", "vi"), True)
    ]
    assert places(paging.sittings(book, "acme", now, behind=SeatPlace("c", "viewer", "vi"))) == []


def test_who_sits_where_of_one_contract_subscription_or_feature() -> None:
    book = told(CROWD)
    now = at("02-01")

    def of(**named: Any) -> list[str]:
        return [row.seat_id for _, row in paging.sittings(book, "acme", now, **named) if row is not None]

    assert (of(contract_id="c"), of(contract_id="d"), of(contract_id="x")) == (["ana", "vi"], [], [])
    assert (of(subscription_id="team"), of(subscription_id="x")) == (["ana"], [])
    assert (of(feature_code="view"), of(feature_code="edit"), of(feature_code="x")) == (["vi"], ["ana"], [])


def test_who_sits_there_does_so_since_the_subscription_began_at_most_and_until_it_ends() -> None:
    book = told("""
        contract c from 2026-01-01
        subscription team seats ana
        add bo at 01-07
        end team at 02-01 said 01-08
    """)

    def since(day: str) -> dict[str, Instant]:
        return {row.seat_id: row.since for _, row in paging.sittings(book, "acme", at(day)) if row is not None}

    assert since("01-31") == {"ana": at("01-01"), "bo": at("01-07")}
    assert since("01-06") == {"ana": at("01-01")}
    # Not even a place: nobody sits in what is over.
    assert places(paging.sittings(book, "acme", at("02-01"))) == []
    assert places(paging.sittings(book, "nobody", at("01-31"))) == []


# --- how many sat there ----------------------------------------------------------------------------------------------

SEGMENTS = """
    contract c from 2026-01-01
    subscription viewer quantity 2
    subscription team seats ana
    add bo at 01-05
    remove ana at 01-09
    quantity 3 in viewer at 01-07
"""


def test_segments_come_by_subscription_and_time_and_go_on_behind_one() -> None:
    book = told(SEGMENTS)
    always = (ORIGIN, FOREVER)
    whole = [
        (("c", "team", at("01-01")), True),
        (("c", "team", at("01-05")), True),
        (("c", "team", at("01-09")), True),
        (("c", "viewer", at("01-01")), True),
        (("c", "viewer", at("01-07")), True),
    ]
    assert places(paging.segments(book, "acme", always)) == whole
    for n, (place, _) in enumerate(whole):
        assert places(paging.segments(book, "acme", always, behind=SegmentPlace(*place))) == whole[n + 1 :]
    # An instant at which nothing changed: what follows it.
    assert places(paging.segments(book, "acme", always, behind=SegmentPlace("c", "team", at("01-06")))) == whole[2:]


def test_segments_of_a_time_of_a_seat_and_of_a_subscription() -> None:
    book = told(SEGMENTS)
    always = (ORIGIN, FOREVER)

    def of(within: Span = always, **named: Any) -> list[tuple[str, str, int]]:
        found = paging.segments(book, "acme", within, **named)
        return [
            (place.subscription_id, str(at_day(row.from_at)), row.quantity) for place, row in found if row is not None
        ]

    assert of((at("01-06"), at("01-07"))) == [("team", "01-05", 2), ("viewer", "01-01", 2)]
    assert of((at("01-06"), at("01-08")), subscription_id="viewer") == [("viewer", "01-01", 2), ("viewer", "01-07", 3)]
    assert of(seat_id="ana") == [("team", "01-01", 1), ("team", "01-09", 1)]
    assert of(seat_id="bo") == [("team", "01-05", 2)]
    assert of(contract_id="x") == []


def at_day(time: Instant) -> str:
    return next(day for day in (f"01-{n:02}" for n in range(1, 32)) if at(day) == time)


# --- balances --------------------------------------------------------------------------------------------------------


def test_balances_come_by_credit_type_the_customers_pool_first_then_by_contract_its_pool_first() -> None:
    book = told(CROWD)
    assert places(desks.balances(book, "acme", at("02-10"))) == [
        (("credits", "", -1, ""), True),
        (("credits", "c", -1, ""), True),
        (("credits", "c", 0, "ana"), True),
        (("credits", "c", 0, "bo"), True),
        (("credits", "c", 0, "cy"), False),
        (("credits", "c", 0, "vi"), True),
        (("credits", "d", -1, ""), True),
        (("tokens", "", -1, ""), False),
        (("tokens", "c", -1, ""), False),
        (("tokens", "c", 0, "ana"), False),
        (("tokens", "c", 0, "bo"), False),
        (("tokens", "c", 0, "cy"), True),
        (("tokens", "c", 0, "vi"), False),
        (("tokens", "d", -1, ""), False),
    ]


def test_balances_go_on_behind_any_place() -> None:
    book = told(CROWD)
    whole = list(desks.balances(book, "acme", at("02-10")))
    for n, (place, _) in enumerate(whole):
        assert list(desks.balances(book, "acme", at("02-10"), behind=place)) == whole[n + 1 :]
    # Behind a seat that is gone since, and behind a type of which there is nothing.
    assert list(desks.balances(book, "acme", at("02-10"), behind=BalancePlace("credits", "c", 0, "bz"))) == whole[4:]
    assert list(desks.balances(book, "acme", at("02-10"), behind=BalancePlace("dust", "", -1, ""))) == whole[7:]
    # Behind a kind of seats that there is none of: what comes after the contract.
    assert list(desks.balances(book, "acme", at("02-10"), behind=BalancePlace("credits", "c", 1, ""))) == whole[6:]


def test_balances_say_what_a_seat_may_draw_on_altogether() -> None:
    """Its own and both pools; the pools nothing outside its contract's window, and not the pool of another contract."""
    book = told(CROWD)
    assert had(desks.balances(book, "acme", at("02-10"), credit_type="credits")) == {
        "/": "5",
        "c/": "100",
        "c/ana": "10 of 115",
        "c/bo": "0 of 105",
        "c/vi": "0 of 105",
        "d/": "4",
    }
    over = told("contract c until 02-01\nsubscription team seats ana\ngrant all 5 to customer\ntick 02-10")
    assert had(desks.balances(over, "acme", at("01-31")))["c/ana"] == "0 of 5"
    assert had(desks.balances(over, "acme", at("02-01"))) == {"/": "5"}
    late = told(
        "contract c from 01-10 until 02-01\nsubscription team seats ana\ngrant all 5 to customer\nburn 2 by ana at 01-20"
    )
    days = ("01-10", "01-31", "02-01")
    assert [had(desks.balances(late, "acme", at(day)))["c/ana"] for day in days] == ["0 of 5", "0 of 3", "0 of 0"]


def test_balances_of_one_contract_subscription_or_seat() -> None:
    book = told(CROWD)

    def of(**named: Any) -> list[str]:
        return list(had(desks.balances(book, "acme", at("02-10"), **named)))

    assert of(contract_id="c", credit_type="credits") == ["c/", "c/ana", "c/bo", "c/vi"]
    assert of(contract_id="d") == ["d/"]
    assert of(contract_id="x") == []
    assert of(subscription_id="team") == ["c/ana", "c/bo"]
    assert of(subscription_id="viewer") == ["c/vi"]
    assert of(subscription_id="x") == []
    assert of(seat_ids=["vi", "ana", "vi", "zz"]) == ["c/ana", "c/vi"]
    assert of(seat_ids=["cy"]) == ["c/cy"]
    assert of(seat_ids=["ana", "vi"], behind=BalancePlace("credits", "c", 0, "ana")) == ["c/vi"]
    assert of(search="A") == ["c/ana"]
    assert of(search="") == ["c/ana", "c/bo", "c/vi", "c/cy"]
    assert of(credit_type="tokens") == ["c/cy"]
    assert of(credit_type="dust") == []


def test_a_seat_that_never_had_anything_has_a_row_of_plain_credits_alone() -> None:
    """And none once it was given something of another type (D30)."""
    book = told("""
        contract c
        subscription team seats ana bo
        grant gems 7 to seat bo tokens from 02-01
        tick 02-10
    """)
    before = places(desks.balances(book, "acme", at("01-15")))
    assert [place for place, there in before if there] == [("credits", "c", 0, "ana"), ("credits", "c", 0, "bo")]
    after = places(desks.balances(book, "acme", at("02-01")))
    assert [place for place, there in after if there] == [("credits", "c", 0, "ana"), ("tokens", "c", 0, "bo")]


def test_pools_alone_are_the_rows_of_the_pools() -> None:
    book = told(CROWD)
    assert [
        (row.scope.contract_id, row.scope.credit_type, text(row.balance))
        for row in desks.pools(book, "acme", at("02-10"))
    ] == [
        (None, "credits", "5"),
        ("c", "credits", "100"),
        ("d", "credits", "4"),
    ]
    assert list(desks.pools(book, "nobody", at("02-10"))) == []


def test_a_row_with_grants_that_are_over_and_that_are_to_come() -> None:
    """Each end of the span counts as a grant's window does: its first instant is in, its last is out (L2)."""
    book = told("""
        contract c
        grant first 1 until 02-01
        grant second 2 from 02-01 until 03-01
        grant third 3 from 03-01 until 04-01
    """)

    def within(since: str, until: str, now: str = "02-10") -> dict[str, str]:
        rows = desks.balances(book, "acme", at(now), contract_id="c", active=(at(since), at(until)))
        return {grant.grant_id: text(grant.balance) for _, row in rows if row for grant in row.balance.grants}

    assert within("01-01", "04-01") == {"first": "0", "second": "2", "third": "3"}
    assert within("02-01", "03-01") == {"second": "2"}
    assert within("01-31", "03-01") == {"first": "0", "second": "2"}
    assert within("02-01", "03-02") == {"second": "2", "third": "3"}
    # What ends now is over, and what begins now is told once.
    rows = list(desks.balances(book, "acme", at("02-01"), contract_id="c", active=(at("01-01"), at("04-01"))))
    assert [(grant.grant_id, text(grant.balance)) for _, row in rows if row for grant in row.balance.grants] == [
        ("first", "0"),
        ("second", "2"),
        ("third", "3"),
    ]
    # Where nothing lives now, there is a row for what did.
    assert within("01-01", "04-01", "05-01") == {"first": "0", "second": "0", "third": "0"}


def test_a_grant_is_of_the_kind_that_was_said_of_it_and_a_credit_where_nothing_was() -> None:
    book = told(
        "contract c\nsubscription team seats ana\nrecurring monthly 10 per seat of team every P1M\ngrant plain 1"
    )
    ledger = Ledger(book.rows, **BOUNDS)
    for grant_id, contract_id, seat_id in (("ours", "c", None), ("hers", "c", "ana"), ("all", None, None)):
        grant = Grant(
            grant_id=grant_id,
            contract_id=contract_id,
            seat_id=seat_id,
            amount=1,
            effective_at=at("01-02"),
            kind="commit",
        )
        ledger.fold(CreditsGranted(id=grant_id, customer_id="acme", time=at("01-02"), grant=grant), at("01-02"))
    ledger.flush()
    rows = [row for _, row in desks.balances(ledger.book, "acme", at("01-03")) if row is not None]
    assert {
        grant.grant_id: desks.kind_of(ledger.book, "acme", row.balance.scope.contract_id, grant)
        for row in rows
        for grant in row.balance.grants
    } == {"monthly": "credit", "plain": "credit", "ours": "commit", "hers": "commit", "all": "commit"}


def test_a_slice_is_of_the_kind_that_its_recurring_credit_has() -> None:
    story = "contract c bringing\nsubscription team seats ana\nrecurring monthly 10 per seat of team every P1M"
    [(contract, arrived_at)] = facts(story)
    assert isinstance(contract, ContractCreated)
    [monthly] = contract.recurring_credits
    ledger = Ledger(MemoryRows(), **BOUNDS)
    ledger.fold(
        msgspec.structs.replace(contract, recurring_credits=(msgspec.structs.replace(monthly, kind="commit"),)),
        arrived_at,
    )
    ledger.flush()
    [grant] = [
        grant for _, row in desks.balances(ledger.book, "acme", at("01-03")) if row for grant in row.balance.grants
    ]
    assert desks.kind_of(ledger.book, "acme", "c", grant) == "commit"
    assert desks.kind_of(ledger.book, "nobody", "c", grant) == "credit"


def test_a_desk_breathes_by_who_asks_now() -> None:
    """Whoever asked before may be gone."""
    book = told("grant ours 10\n" + "\n".join(f"burn 1 by s{n} at 01-0{2 + n} id b{n}" for n in range(5)))
    first, second = Counter[str](), Counter[str]()
    desk = desks.Desk(Book(book.rows, lambda: first.update("x")), "acme", at("01-04"))
    desk.breathe_by(lambda: second.update("x"))
    assert had(desk.balances())["c/"] == "8"
    assert not first and second


def test_what_a_desk_told_counts() -> None:
    """Ana in either contract, then the pool of one in either type."""
    book = told(CROWD)
    desk = desks.Desk(book, "acme", at("02-10"))
    assert had(desk.balances(seat_ids=["ana"], credit_type="credits")) == {"c/ana": "10 of 115"}
    assert (had(desk.balances(contract_id="d")), desk.rows) == ({"d/": "4"}, 4)
    nobody = desks.Desk(book, "nobody", at("02-10"))
    assert list(nobody.balances()) == []


# --- lines of the account --------------------------------------------------------------------------------------------


def lines(book: Book, within: Span, **named: Any) -> list[str]:
    """`b1 ours -2`: the cause, the grant, how much."""
    found = [row for _, row in paging.lines(book, "acme", within, **named) if row is not None]
    return [f"{row.cause_id} {row.grant_id or 'nobody'} {text(row.amount)}" for row in found]


LINES = """
    contract d from 2026-01-01
    grant theirs 4
    contract c from 2026-01-01
    grant hers 1 to seat ana priority 1
    grant ours 100
    grant gems 7 tokens
    burn 3 by ana at 01-05 id b1
    burn 2 by bo at 01-06 id b2
    burn 1 tokens at 01-06 id b3
    burn 1 on d at 01-07 id b4
    tick 01-10
"""


def test_lines_of_a_time_a_contract_a_type_or_a_grant() -> None:
    book = told(LINES)
    january = (at("01-02"), at("02-01"))
    whole = ["b1 hers -1", "b1 ours -2", "b2 ours -2", "b3 gems -1", "b4 theirs -1"]
    assert sorted(lines(book, january)) == sorted(whole)
    assert lines(book, (at("01-06"), at("01-07"))) == ["b2 ours -2", "b3 gems -1"]
    assert lines(book, january, contract_id="d") == ["b4 theirs -1"]
    assert lines(book, january, credit_type="tokens") == ["b3 gems -1"]
    assert lines(book, january, grant_id="hers") == ["b1 hers -1"]
    assert lines(book, january, contract_id="x") == []


def test_lines_of_a_seat_and_of_who_paid_for_it() -> None:
    book = told(LINES)
    january = (at("01-02"), at("02-01"))
    assert lines(book, january, seat_id="ana") == ["b1 hers -1"]
    assert sorted(lines(book, january, seat_id="ana", payers=True)) == ["b1 hers -1", "b1 ours -2"]
    assert lines(book, january, seat_id="bo", payers=True, contract_id="c") == ["b2 ours -2"]
    assert lines(book, january, seat_id="bo", payers=True, contract_id="d") == []
    assert lines(book, january, seat_id="bo", payers=True, credit_type="tokens") == []
    assert lines(book, january, seat_id="bo", payers=True, grant_id="hers") == []


def test_lines_go_on_behind_any_line_and_past_as_many_as_are_read_at_once() -> None:
    book = told("contract c\ngrant ours 900\n" + "\n".join(f"burn 1 at 01-05 id b{n:03}" for n in range(450)))
    within = (at("01-05"), at("01-06"))
    assert lines(book, within) == [f"b{n:03} ours -1" for n in range(450)]
    assert lines(book, within, wanted=1) == lines(book, within)
    found = [place for place, _ in paging.lines(book, "acme", within)]
    assert lines(book, within, behind=found[199]) == [f"b{n:03} ours -1" for n in range(200, 450)]
    assert lines(book, within, behind=found[-1]) == []
    # A page that ends earlier than its cursor has nothing.
    assert lines(book, (at("01-02"), at("01-03")), behind=found[0]) == []
    # What happens at the last instant is not in.
    assert lines(book, (at("01-02"), at("01-05"))) == []
