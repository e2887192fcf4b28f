"""What is due for seats (L20, D26), by pencil."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import seats
from ledger.amounts import UNIT
from ledger.answers import Charge
from ledger.billing import Rise, next_period_start, period_start, rises
from ledger.charges import charges, next_due_after
from ledger.contracts import End, SubscriptionUpdate
from ledger.facts import Price, Recurrence, Rounding, SubscriptionChanges
from ledger.instants import DAY, FOREVER, Every, Instant, instant
from tests.ledger.test_seats import BORN, CUSTOMER, Account, day, quantity, subscription

LAST = day("12-31")
PRICE = Price(amount=25 * UNIT, currency="USD")


def counted(number: int, **given: Any) -> Account:
    given.setdefault("unit_price", PRICE)
    return Account(subscription(mode="quantity", quantity=number, **given))


def due(account: Account, from_at: Instant = BORN - DAY, to_at: Instant = LAST) -> list[Charge]:
    return charges(account.book, CUSTOMER, account.contract, account.contract.subscriptions[0], from_at, to_at)


def brief(found: list[Charge]) -> list[tuple[Instant, str, int, str]]:
    return [(each.time, each.kind, each.seats, f"{each.covered}/{each.period}") for each in found]


MONTHS = {month: (31 if month in (1, 3, 5, 7, 8, 10, 12) else 28 if month == 2 else 30) * DAY for month in range(1, 13)}


def whole(month: int) -> str:
    return f"{MONTHS[month]}/{MONTHS[month]}"


def test_one_seat_more_for_half_of_june_costs_half_of_its_price() -> None:
    # spec/commet-lumen.md A5: 1 x $25 x 15/30 = $12.50.
    account = counted(4, included_seats=4, starting_at=BORN)
    account.folded(quantity(day("06-16"), 5))

    [first, *later] = due(account)

    assert first.amount == 12_500_000_000
    assert (first.kind, first.seats, first.time) == ("increase", 1, day("06-16"))
    assert first.covered * 30 == first.period * 15
    assert (first.period_from, first.period_to) == (day("06-01"), day("07-01"))
    assert brief(later[:1]) == [(day("07-01"), "period", 1, whole(7))]


def test_each_period_begins_with_what_it_has_and_rises_use_pending_removals_up_first() -> None:
    account = counted(10)
    for at, number in (("01-11", 7), ("01-21", 12), ("02-08", 9)):
        account.folded(quantity(day(at), number))

    # 31 days: 12 is 2 above the 10 that are paid, with 11 of 31 days left.
    assert brief(due(account, to_at=day("03-02"))) == [
        (BORN, "period", 10, whole(1)),
        (day("01-21"), "increase", 2, f"{11 * DAY}/{31 * DAY}"),
        (day("02-01"), "period", 12, whole(2)),
        (day("03-01"), "period", 9, whole(3)),
    ]


def test_only_what_is_above_the_included_number_is_charged_and_never_less_than_the_minimum() -> None:
    account = counted(1, included_seats=3, minimum_seats=5, prorate_charges=False)
    account.folded(quantity(day("01-11"), 4))
    account.folded(quantity(day("01-12"), 6))

    assert brief(due(account, to_at=day("02-01"))) == [
        (BORN, "period", 2, whole(1)),
        (day("01-12"), "increase", 1, whole(1)),
    ]
    assert due(counted(3, included_seats=3)) == []


def test_a_rise_is_due_with_the_next_period_if_it_says_so_also_after_the_end() -> None:
    account = counted(1, charge_increases="next_period")
    account.folded(quantity(day("01-21"), 2))
    [row] = account.contract.subscriptions
    row.ends.append(End(BORN, "e", day("01-25")))

    late = (day("02-01"), "increase", 1, f"{11 * DAY}/{31 * DAY}")
    assert brief(due(account)) == [(BORN, "period", 1, whole(1)), late]
    assert brief(due(account, day("02-01"), day("02-02"))) == [late]
    assert due(account, day("01-02"), day("02-01")) == []
    assert next_due_after(account.book, CUSTOMER, account.contract, row, BORN) == day("02-01")
    assert next_due_after(account.book, CUSTOMER, account.contract, row, day("02-01")) is None


def test_a_rise_that_is_due_with_the_next_period_is_found_from_that_period_on() -> None:
    account = counted(1, charge_increases="next_period")
    account.folded(quantity(day("01-21"), 2))

    assert brief(due(account, day("02-01"), day("02-02"))) == [
        (day("02-01"), "increase", 1, f"{11 * DAY}/{31 * DAY}"),
        (day("02-01"), "period", 2, whole(2)),
    ]
    assert due(account, day("02-01"), day("02-01")) == []


def test_a_charge_a_microsecond_away_is_the_next_one_and_after_the_last_there_is_none() -> None:
    account = counted(1, included_seats=1)
    account.folded(quantity(day("01-21"), 2))
    [row] = account.contract.subscriptions
    row.ends.append(End(BORN, "e", day("02-01")))

    asked = [next_due_after(account.book, CUSTOMER, account.contract, row, at) for at in (BORN, day("01-21") - 1)]
    assert asked == [day("01-21")] * 2
    assert next_due_after(account.book, CUSTOMER, account.contract, row, day("01-21")) is None

    free = counted(1, included_seats=1)
    free.folded(quantity(day("02-01") + 1, 2))
    found = next_due_after(free.book, CUSTOMER, free.contract, free.contract.subscriptions[0], day("01-21"))
    assert found == day("02-01")


def test_the_first_period_is_cut_where_its_grid_begins_before_it() -> None:
    anchor = Recurrence(every=Every(1, "month"), anchor=day("01-01"))
    start = day("01-11")
    account = counted(2, starting_at=start, billing_period=anchor)
    assert brief(due(account, to_at=day("02-02"))) == [
        (start, "period", 2, f"{21 * DAY}/{31 * DAY}"),
        (day("02-01"), "period", 2, whole(2)),
    ]
    account = counted(2, starting_at=start, billing_period=anchor, prorate_charges=False)
    assert brief(due(account, to_at=day("02-01"))) == [(start, "period", 2, whole(1))]


def test_the_contracts_window_cuts_what_is_charged() -> None:
    account = counted(2)
    account.contract.starting_at = day("02-15")
    account.contract.ends.append(End(BORN, "e", day("03-15")))

    assert brief(due(account)) == [
        (day("02-15"), "period", 2, f"{14 * DAY}/{28 * DAY}"),
        (day("03-01"), "period", 2, whole(3)),
    ]
    account.contract.ends.append(End(BORN + 1, "f", day("02-01")))
    assert due(account) == []


def test_the_settings_in_force_at_a_charges_instant_count() -> None:
    account = counted(3)
    [row] = account.contract.subscriptions
    changes = SubscriptionChanges(unit_price=Price(amount=UNIT, currency="EUR"), included_seats=1, minimum_seats=5)
    row.updates.append(SubscriptionUpdate(day("02-15"), BORN, "u", changes))

    found = due(account, to_at=day("03-02"))

    assert brief(found) == [
        (BORN, "period", 3, whole(1)),
        (day("02-01"), "period", 3, whole(2)),
        (day("02-15"), "increase", 2, f"{14 * DAY}/{28 * DAY}"),
        (day("03-01"), "period", 4, whole(3)),
    ]
    assert [each.amount for each in found] == [75 * UNIT, 75 * UNIT, UNIT, 4 * UNIT]


def test_a_new_grid_counts_from_its_first_point() -> None:
    account = counted(1)
    [row] = account.contract.subscriptions
    weekly = Recurrence(every=Every(1, "week"), anchor=day("02-20"))
    row.updates.append(SubscriptionUpdate(day("02-15"), BORN, "u", SubscriptionChanges(billing_period=weekly)))

    assert [each.time for each in due(account, to_at=day("03-01"))] == [
        BORN, day("02-01"), day("02-20"), day("02-27"),
    ]  # fmt: skip


def test_a_period_that_a_change_of_the_grid_cuts_goes_on_until_the_new_grid_has_a_point() -> None:
    account = counted(1)
    [row] = account.contract.subscriptions
    for at, every, anchor in (("02-15", "week", "02-20"), ("03-10", "month", "01-05"), ("05-01", "month", "05-01")):
        grid = Recurrence(every=Every(1, every), anchor=day(anchor))  # type: ignore[arg-type]
        row.updates.append(SubscriptionUpdate(day(at), BORN, at, SubscriptionChanges(billing_period=grid)))

    asked = ("02-17", "02-20", "03-09", "03-12", "04-06", "05-01", "05-02")
    begun = [period_start(account.contract, row, day(at)) for at in asked]
    assert begun == [day(at) for at in ("02-01", "02-20", "03-06", "03-06", "04-05", "05-01", "05-01")]
    next_ones = [next_period_start(account.contract, row, day(at)) for at in ("02-14", "03-09", "04-06")]
    assert next_ones == [day(at) for at in ("02-20", "04-05", "05-01")]


def test_a_new_grid_that_begins_nothing_where_the_old_one_would_have_waits_for_its_point() -> None:
    account = counted(1)
    [row] = account.contract.subscriptions
    weekly = Recurrence(every=Every(1, "week"), anchor=day("02-20"))
    row.updates.append(SubscriptionUpdate(day("02-01"), BORN, "u", SubscriptionChanges(billing_period=weekly)))

    assert next_period_start(account.contract, row, day("01-15")) == day("02-06")
    row.updates[0] = SubscriptionUpdate(day("02-01") + 1, BORN, "u", SubscriptionChanges(billing_period=weekly))
    assert period_start(account.contract, row, day("02-03")) == day("02-01")


def test_what_was_there_until_just_before_a_period_is_not_paid_in_it() -> None:
    account = counted(2)
    for at, number in ((day("02-01") - 1, 9), (day("02-01"), 3), (day("02-01") + 1, 4)):
        account.folded(quantity(at, number))

    found = rises(
        account.book, CUSTOMER, account.contract, account.contract.subscriptions[0], day("02-01"), day("03-01")
    )
    assert list(found) == [Rise(day("02-01"), 0, 3), Rise(day("02-01") + 1, 3, 4)]


def test_a_minimum_that_rises_with_a_period_is_no_rise_of_the_one_before() -> None:
    account = counted(1)
    [row] = account.contract.subscriptions
    row.updates.append(SubscriptionUpdate(day("02-01"), BORN, "u", SubscriptionChanges(minimum_seats=5)))

    assert brief(due(account, to_at=day("02-02"))) == [
        (BORN, "period", 1, whole(1)),
        (day("02-01"), "period", 5, whole(2)),
    ]


def test_an_amount_is_rounded_once_and_absent_without_a_price() -> None:
    start = instant("2025-01-01T00:00:00Z")
    third = Recurrence(every=Every(3, "day"), anchor=start)
    account = counted(
        1, billing_period=third, unit_price=Price(amount=10 * UNIT, currency="USD"), rounding=Rounding(decimals=2)
    )
    account.folded(quantity(start + DAY, 3))
    assert [each.amount for each in due(account, to_at=start + 2 * DAY)] == [10 * UNIT, 13_330_000_000]
    assert due(counted(1, unit_price=None))[0].amount is None


def test_a_late_rise_is_charged_anew_as_the_seats_are_known_now() -> None:
    account = counted(1)
    account.folded(quantity(day("01-21"), 5))
    before = due(account)
    account.folded(quantity(day("01-11"), 3))
    after = due(account)
    assert [each.seats for each in before[:2]] == [1, 4]
    assert [each.seats for each in after[:3]] == [1, 2, 2]


@settings(max_examples=100, deadline=None)
@given(
    rises=st.lists(st.tuples(st.integers(-3, 100), st.integers(0, 6)), max_size=8),
    cuts=st.lists(st.integers(-5, 140), max_size=4),
    included=st.integers(0, 3),
    minimum=st.integers(0, 4),
    later=st.booleans(),
    ends=st.sampled_from([None, 40, 59, 70]),
)
def test_l20_charges_do_not_depend_on_how_the_time_is_cut_and_add_up_to_what_is_paid(
    rises: list[tuple[int, int]], cuts: list[int], included: int, minimum: int, later: bool, ends: int | None
) -> None:
    account = counted(
        2, included_seats=included, minimum_seats=minimum, charge_increases="next_period" if later else "now"
    )
    for days, number in rises:
        account.folded(quantity(BORN + days * DAY, number))
    [row] = account.contract.subscriptions
    if ends is not None:
        row.ends.append(End(BORN, "e", BORN + ends * DAY))
    end = day("06-01")
    found = due(account, to_at=end)

    points = sorted({BORN - DAY, *(BORN + cut * DAY for cut in cuts), end})
    pieces = [each for a, b in pairwise(points) for each in due(account, a, b) if b <= end]
    assert [each for each in pieces if each.time >= BORN - DAY] == [
        each for each in found if points[0] <= each.time < points[-1]
    ]

    at, looked = BORN - 2 * DAY, []
    while (next_at := next_due_after(account.book, CUSTOMER, account.contract, row, at)) is not None and next_at < end:
        assert next_at > at
        looked += due(account, at + 1, next_at + 1)
        at = next_at
    assert looked == found

    for month in range(1, 5):
        start, last = day(f"{month:02}-01"), day(f"{month + 1:02}-01") - 1
        if ends is not None:
            last = min(last, BORN + ends * DAY - 1)
        if last < start:
            continue
        counts = seats.counts(account.book, CUSTOMER, account.contract, row, last)
        charged = sum(each.seats for each in found if each.period_from == start and each.time < end)
        assert charged == max(0, counts.paid - included)
        assert counts.pending_removals == counts.paid - counts.total


def test_what_is_paid_goes_on_until_the_first_point_of_a_new_grid() -> None:
    account = counted(1)
    account.folded(quantity(day("02-03"), 9), quantity(day("02-04"), 1))
    [row] = account.contract.subscriptions
    weekly = Recurrence(every=Every(1, "week"), anchor=day("02-20"))
    row.updates.append(SubscriptionUpdate(day("02-15"), BORN, "u", SubscriptionChanges(billing_period=weekly)))

    def paid(at: Instant) -> int:
        return seats.counts(account.book, CUSTOMER, account.contract, row, at).paid

    assert [paid(day(at)) for at in ("02-02", "02-03", "02-14", "02-15", "02-19", "02-20")] == [1, 9, 9, 9, 9, 1]


GRIDS = [Every(1, "month"), Every(1, "week"), Every(3, "day")]
updates = st.lists(
    st.tuples(
        st.integers(-3, 60),
        st.builds(
            SubscriptionChanges,
            billing_period=st.one_of(
                st.none(),
                st.builds(
                    Recurrence, every=st.sampled_from(GRIDS), anchor=st.integers(-40, 40).map(lambda n: BORN + n * DAY)
                ),
            ),
            minimum_seats=st.one_of(st.none(), st.integers(0, 4)),
            included_seats=st.one_of(st.none(), st.integers(0, 3)),
            charge_increases=st.sampled_from([None, "now", "next_period"]),
            prorate_charges=st.sampled_from([None, True, False]),
        ),
    ),
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(
    rises=st.lists(st.tuples(st.integers(-3, 60), st.integers(0, 6)), max_size=6),
    updates=updates,
    ends=st.sampled_from([None, 20, 31, 45]),
)
def test_l20_charges_agree_with_a_naive_walk_through_the_days(
    rises: list[tuple[int, int]], updates: list[tuple[int, SubscriptionChanges]], ends: int | None
) -> None:
    account = counted(2)
    for days, number in rises:
        account.folded(quantity(BORN + days * DAY, number))
    [row] = account.contract.subscriptions
    for n, (days, changes) in enumerate(updates):
        row.updates.append(SubscriptionUpdate(BORN + days * DAY, BORN + n, "u", changes))
    if ends is not None:
        row.ends.append(End(BORN, "e", BORN + ends * DAY))

    expected: list[tuple[Instant, int, int, int]] = []
    waiting: list[tuple[int, int, int]] = []
    paid = 0
    for today in range(100):
        at = BORN + today * DAY
        now = row.at(at)
        grid = now.billing_period
        points = [grid.every.point(grid.anchor, n) for n in range(-60, 60)]
        opens = today == 0 or at in points
        if opens:
            expected += [(at, *late) for late in waiting]
            waiting, before = [], 0
        else:
            before = paid
        if ends is not None and today >= ends:
            continue
        total, included = account.counts(at)[0], now.included_seats or 0
        paid = max(before, total, now.minimum_seats)
        due_seats = max(0, paid - included) - (0 if opens else max(0, before - included))
        start, end = max(p for p in points if p <= at), min(p for p in points if p > at)
        charge = (due_seats, (end - at if now.prorate_charges else end - start), end - start)
        if due_seats and (opens or now.charge_increases == "now"):
            expected.append((at, *charge))
        elif due_seats:
            waiting.append(charge)
        assert seats.counts(account.book, CUSTOMER, account.contract, row, at).paid == paid

    found = due(account, to_at=BORN + 100 * DAY)
    assert [(each.time, each.seats, each.covered, each.period) for each in found] == expected


def test_nothing_is_due_of_a_life_that_never_was() -> None:
    account = counted(2)
    [row] = account.contract.subscriptions
    row.ends.append(End(BORN, "e", BORN))
    assert due(account, BORN - DAY, FOREVER) == []
    assert next_due_after(account.book, CUSTOMER, account.contract, row, BORN - DAY) is None
