"""What happens to many at one instant is told a few lines at a time: the same lines, and a page costs a page."""

from itertools import islice
from typing import Any

import pytest

from ledger import entries
from ledger.amounts import text
from ledger.answers import Entry
from ledger.crowds import Look
from ledger.instants import ORIGIN, Instant, instant
from ledger.ledger import Ledger
from ledger.order import STEP, Place, place_of
from ledger.rows import Book
from tests.ledger.language import BOUNDS, play
from tests.ledger.memory import Counting


def at(day: str) -> Instant:
    return instant(f"2026-{day}T00:00:00Z")


def book_of(story: str) -> Book:
    ledger: Any = play(story).ledger
    ledger.flush()
    book: Book = ledger.book
    return book


def page(book: Book, since: str, until: str, limit: int, behind: Place | None = None, **named: Any) -> list[Look]:
    """So many places, and what is there."""
    return list(islice(entries.lines(book, "acme", (at(since), at(until)), behind=behind, limit=limit, **named), limit))


def in_pages(book: Book, since: str, until: str, limit: int, **named: Any) -> list[Entry]:
    told: list[Entry] = []
    behind = None
    while looks := page(book, since, until, limit, behind, **named):
        told += [entry for _, entry in looks if entry is not None]
        behind = looks[-1][0]
    return told


def said(lines: list[Entry]) -> list[str]:
    return [
        f"{each.type} {each.scope.seat_id or 'pool'} {text(each.amount)} {text(each.balance_after)}" for each in lines
    ]


FEW = """
    contract c bringing
    subscription team seats bo ana cy
    recurring monthly 10 per seat of team every P1M
    grant ours 100 until 02-01
    burn 3 by bo at 01-05
    burn 10 by cy at 01-06
    burn 1 by cy at 02-01 id midnight
    tick 02-10
"""


@pytest.mark.parametrize("limit", [1, 2, 7, 1_000])
def test_a_period_that_begins_for_all_seats_is_told_step_by_step_and_seat_by_seat(limit: int) -> None:
    """Each line with what its seat has after it, also where another page told the lines before it."""
    lines = in_pages(book_of(FEW), "02-01", "02-02", limit)
    assert said(lines) == [
        "expired pool -100 0",
        "expired ana -10 0",
        "expired bo -7 0",
        "granted ana 10 10",
        "granted bo 10 10",
        "granted cy 10 10",
        "burned cy -1 9",
    ]


def test_a_look_at_a_seat_to_which_nothing_happened_is_a_place_too() -> None:
    """So that who pages may stop after many of them, and go on behind."""
    book = book_of(FEW)
    looks = page(book, "02-01", "02-02", 1)
    seen: list[str] = []
    while looks:
        [(place, entry)] = looks
        seen.append(f"{place.step} {place.seat_id or 'pool'}{'' if entry is not None else ' nothing'}")
        looks = page(book, "02-01", "02-02", 1, place)
    granted, ended = STEP["granted"], STEP["expired"]
    assert [one for one in seen if int(one.split()[0]) in (ended, granted, STEP["burned"])] == [
        f"{ended} pool", f"{ended} ana", f"{ended} bo", f"{ended} cy nothing",
        f"{granted} pool nothing", f"{granted} ana", f"{granted} bo", f"{granted} cy", f"{STEP['burned']} cy",
    ]  # fmt: skip


def test_a_page_goes_on_behind_a_seat_that_is_gone_and_before_one_that_came() -> None:
    """At 02-01 bo had been told; then a late edit took bo out of January and brought di, and az before all."""
    story = FEW + "add di and remove bo at 01-31 said 02-10 \n add az at 01-31 said 02-10"
    place = next(
        place
        for place, entry in page(book_of(FEW), "02-01", "02-02", 100)
        if entry is not None and said([entry]) == ["granted bo 10 10"]
    )
    after = [entry for _, entry in page(book_of(story), "02-01", "02-02", 20, place) if entry is not None]
    assert said(after) == ["granted cy 10 10", "granted di 10 10", "burned cy -1 9"]


def test_a_place_that_is_none_of_ours_is_one_all_the_same() -> None:
    book = book_of(FEW)
    when = at("02-01")
    whole = in_pages(book, "02-01", "02-02", 2)
    for place in (
        Place(when, STEP["expired"], "", "credits", "", "seat_id", "ana"),
        Place(when, STEP["expired"], "", "credits", "c", "robot", "ana"),
        Place(when, STEP["expired"], "", "credits", "c", "seat_id", "\0"),
        Place(when, 0, "zz", "zz", "zz", "", ""),
        Place(when, -(10**30), "", "", "", "", ""),
    ):
        told = [entry for _, entry in page(book, "02-01", "02-02", 2, place) if entry is not None]
        assert all(entry in whole for entry in told), place
    assert page(book, "02-01", "02-02", 9, Place(10**30, 0, "", "", "", "", "")) == []
    assert page(book, "02-01", "02-02", 9, Place(when, 10**30, "", "", "", "", "")) == []


#: All that can happen to seats at once, at 02-01 above all.
EVERYTHING = """
    contract b carry from 06-01 until 07-01
    grant bs 5 until 07-01
    subscription robots seats r1 r2 r3
    recurring cells 4 per seat of robots every P1M
    burn 9 by r1 at 06-03
    burn 16 by r2 at 06-04
    grant more 3 at 06-10
    reset preserving overage at 06-15
    contract c from 06-01
    subscription team seats ana bo cy di revoking
    subscription other seats ana ed
    recurring monthly 10 per seat of team every P1M
    recurring weekly 2 per seat of other every P1W tokens
    recurring shared 4 per unit of team every P1M
    recurring two 6 per seat of team every P1M for 2 periods rollover max 5
    grant anas 3 to seat ana every P1M from 06-01 until 08-15
    grant bos 3 to seat bo until 07-01
    grant all 7 to customer until 07-01
    adjust bos by 2 seat cy at 07-01
    adjust anas by 2 seat ana at 07-01
    adjust anas by 1 seat di at 07-01
    burn 4 by ana at 06-05
    burn 25 by bo at 06-06
    move bo to fy carrying in team at 06-20
    move di to gil carrying in team at 07-01
    add hal in team at 07-01
    remove ana in team at 06-25
    add ana in team at 06-28
    remove cy in team at 07-01
    reset at 07-01
    void two slice 0 seat cy at 07-01
    burn 1 by fy at 07-01 id midnight
    end monthly at 08-01
    tick 08-20
"""


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_all_that_can_happen_to_seats_at_once_is_told_once_wherever_a_page_is_cut(limit: int) -> None:
    book = book_of(EVERYTHING)
    whole = entries.entries(book, "acme", at("08-20"))
    first_of_july = {each.type for each in whole if each.time == at("07-01")}
    assert first_of_july == {
        "expired", "voided", "forfeited", "lifted", "moved_out", "moved_in", "granted", "adjusted", "lapsed", "burned",
    }  # fmt: skip
    assert {each.type for each in whole} - first_of_july == {"restored", "overage", "debt_paid"}
    around = [each for each in whole if at("06-28") <= each.time < at("07-02")]
    assert in_pages(book, "06-28", "07-02", limit) == around
    filters: list[dict[str, str]] = [{"contract_id": "b"}, {"contract_id": "c"}, {"credit_type": "tokens"}]
    for named in filters if limit == 2 else []:
        told = in_pages(book, "06-28", "07-02", limit, **named)
        assert [each for each in told if is_of(each, **named)] == [each for each in around if is_of(each, **named)]


def is_of(line: Entry, contract_id: str | None = None, credit_type: str | None = None) -> bool:
    return contract_id in (None, line.scope.contract_id) and credit_type in (None, line.scope.credit_type)


def test_places_are_in_the_order_of_the_lines_and_no_two_are_one() -> None:
    looks = list(entries.lines(book_of(EVERYTHING), "acme", (ORIGIN, at("08-20")), limit=2))
    orders = [place[:-1] for place, _ in looks]
    assert orders == sorted(orders) and len({place for place, _ in looks}) == len(looks)
    assert all(place == place_of(entry) for place, entry in looks if entry is not None)


def test_grants_of_seats_that_start_or_end_together_are_looked_at_where_they_do() -> None:
    """And not in each step of L13; an adjustment of that instant, in its own."""
    names = [f"s{n:02}" for n in range(30)]
    grants = "\n".join(f"grant g-{name} 1 to seat {name} from 01-20 until 01-25" for name in names)
    book = book_of(f"{grants}\nadjust g-s07 by 2 seat s07 at 01-20\nadjust g-s08 by 2 seat s08 at 01-25\ntick 02-10")
    for day, until, step, also, who in (
        ("01-20", "01-21", STEP["granted"], "adjusted", "s07"),
        ("01-25", "01-26", STEP["expired"], "lapsed", "s08"),
    ):
        looks = list(entries.lines(book, "acme", (at(day), at(until)), limit=10))
        seats = [(place.step, place.seat_id) for place, _ in looks if place.seat_id]
        assert [one for one in seats if one[0] == step] == [(step, name) for name in names]
        assert {one for one in seats if one[0] != step} == {(STEP["adjusted"], who), (STEP["lapsed"], who)}
        assert (also, who) in [(entry.type, entry.scope.seat_id) for _, entry in looks if entry is not None]


def test_a_page_of_a_crowd_reads_a_page() -> None:
    """However many seats there are: where a period begins for all of them, in any of its steps, and where all come at once."""
    costs: list[list[int]] = []
    for count in (60, 600):
        rows = Counting()
        ledger = Ledger(rows, **BOUNDS)
        names = " ".join(f"s{n:05}" for n in range(count))
        later = " ".join(f"t{n:05}" for n in range(count))
        grants = "\n".join(f"grant g{n} 1 to seat s{n:05} from 01-20" for n in range(count))
        play(
            f"subscription team seats {names}\nrecurring monthly 10 per seat of team every P1M\n"
            f"add {later} at 01-10\n{grants}\ntick 02-10",
            ledger,
        )
        ledger.flush()
        costs.append([])
        for time, place in (
            ("01-01", None),
            ("01-10", None),
            ("02-01", None),
            ("02-01", Place(at("02-01"), STEP["expired"], "", "credits", "c", "seat_id", "s00030", 1)),
            ("02-01", Place(at("02-01"), STEP["granted"], "", "credits", "c", "seat_id", "s00030", 1)),
        ):
            rows.forget()
            found = page(ledger.book, time, "02-10", 10, place)
            assert len([entry for _, entry in found if entry is not None]) >= 9, found
            costs[-1].append(rows.count)
    few, many = costs
    assert all(after <= before + 10 and before < 400 for before, after in zip(few, many, strict=True)), costs
