"""One test for each thing that took too long: what it reads and writes, for it is counted and not timed."""

import sys
from types import FrameType

import msgspec
import pytest

from ledger.amounts import UNIT
from ledger.facts import CreditBurn
from ledger.instants import instant
from ledger.ledger import Ledger
from tests.ledger.language import BOUNDS, play_on
from tests.ledger.language import play as play_on_engine
from tests.ledger.memory import Counting, MemoryRows

pytestmark = pytest.mark.heavy


def rows_for(story: str, line: str) -> int:
    """How many rows the last line of a story reads and writes."""
    rows = Counting()
    ledger = Ledger(rows, **BOUNDS)
    played = play_on_engine(story, ledger)
    ledger.flush()
    rows.forget()
    play_on(played, line)
    ledger.flush()
    return rows.count


def calls_for(story: str, line: str) -> int:
    """How many functions of ours the last line of a story calls: what it costs where it reads few rows."""
    played = play_on_engine(story, Ledger(MemoryRows(), **BOUNDS))
    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        play_on(played, line)
    finally:
        sys.setprofile(before)
    return calls


def test_a_chain_of_carried_moves_costs_a_row_or_two_for_each() -> None:
    """It was walked from each of its seats anew."""

    def cost(moves: int) -> int:
        hand_on = "\n".join(f"move s{i} to s{i + 1} carrying at {_hour(i + 1)}" for i in range(moves))
        story = f"subscription team seats s0\nrecurring monthly 100 per seat of team every P1M\n{hand_on}"
        return rows_for(story, f"burn 1 by s{moves} at {_hour(moves + 2)}")

    assert cost(80) < 2.5 * cost(40)


def test_one_wrong_clock_does_not_slow_a_customer_down_for_ever() -> None:
    """All its burns went the long way from then on."""
    ledger = Ledger(MemoryRows(), **BOUNDS)
    play_on_engine("burn 1 by ana at 01-02", ledger)
    at = instant("2026-01-02T00:01:00Z")
    burn = CreditBurn(id="b", customer_id="acme", time=at, contract_id="c", seat_id="ana", amount=UNIT)
    ledger.fold(msgspec.structs.replace(burn, id="wrong", time=instant("9999-01-01T00:00:00Z")), at)

    assert ledger._burn_quickly(burn, at) is not None


def test_an_edit_of_one_seat_does_not_look_at_all_burns_that_wait_for_others() -> None:
    def cost(waiting: int) -> int:
        burns = "\n".join(f"burn 1 by seat-{n} at 01-02 id b{n} anywhere" for n in range(waiting))
        story = f"contract a from 01-01\ncontract b from 01-01\nsubscription team seats ana on a\n{burns}"
        return rows_for(story, "add bo on a at 01-02T00:01")

    assert cost(50) < cost(5) + 10


def test_two_seats_that_carry_to_each_other_in_turn_do_not_double_the_cost_each_time() -> None:
    def cost(moves: int) -> int:
        hand_on = "\n".join(f"move {'pq'[i % 2]} to {'qp'[i % 2]} carrying at {_hour(i + 1)}" for i in range(moves))
        story = f"subscription team seats p\nrecurring monthly 100 per seat of team every P1M\n{hand_on}"
        return rows_for(story, f"burn 1 by p at {_hour(moves + 2)}")

    assert cost(24) < 6 * cost(12)


def test_a_burn_after_many_moves_between_two_seats_does_not_read_all_of_them_for_each() -> None:
    def cost(moves: int) -> int:
        hand_on = "\n".join(
            f"move {'pq'[i % 2]} to {'qp'[i % 2]} carrying at {_hour(i)}\nburn 1 by {'qp'[i % 2]} at {_hour(i, 30)}"
            for i in range(1, moves + 1)
        )
        story = f"subscription team seats q\nrecurring monthly 100 per seat of team every P1M\n{hand_on}"
        return rows_for(
            story, f"move {'qp'[moves % 2]} to p2 carrying at {_hour(moves + 2)}\nburn 1 by p2 at {_hour(moves + 3)}"
        )

    assert cost(40) < 2.5 * cost(20)


def test_two_seats_that_carry_to_each_other_within_one_instant_do_not_double_the_cost_each_time() -> None:
    def cost(moves: int) -> int:
        hand_on = " and ".join(f"move {'pq'[i % 2]} to {'qp'[i % 2]} carrying" for i in range(moves))
        story = "subscription team seats ana\nrecurring monthly 100 per seat of team every P1M"
        return rows_for(f"{story}\nadd p and {hand_on} at 06-03", "burn 1 by p at 06-04")

    assert cost(16) < 5 * cost(8)


def test_an_adjustment_of_an_hourly_credit_does_not_make_each_later_burn_look_at_every_hour_since_it_began() -> None:
    def cost(adjustment: str) -> int:
        story = f"""
            contract c from 2026-01-01
            subscription team seats ana
            recurring hourly 100 per seat of team every PT1H
            burn 1 by ana at 2026-03-01
            {adjustment}
            burn 1 by ana at 2026-03-02
        """
        return calls_for(story, "burn 1 by ana at 2026-03-02T02:00")

    assert cost("adjust hourly by 5 seat ana at 2026-03-01T12:00") < cost("") + 200


def test_adjustments_of_a_slice_do_not_look_for_it_each_by_itself() -> None:
    def cost(adjustments: int) -> int:
        goodwill = "\n".join(f"adjust monthly by 1 seat ana at {_hour(i)}" for i in range(adjustments))
        story = f"subscription team seats ana\nrecurring monthly 100 per seat of team every P1M\n{goodwill}"
        return calls_for(story, "burn 1 by ana at 06-20")

    assert cost(80) < cost(40) + 40 * 70


def test_a_void_each_hour_does_not_play_again_what_was_burned_since_the_first() -> None:
    def cost(hours: int) -> int:
        past = "\n".join(
            f"void hourly seat ana at {_hour(i, 30)}\nburn 1 by ana at {_hour(i, 40)}" for i in range(hours)
        )
        story = f"subscription team seats ana\nrecurring hourly 100 per seat of team every PT1H\n{past}"
        return calls_for(story, f"void hourly seat ana at {_hour(hours, 30)}")

    assert cost(40) < 1.5 * cost(20)


def test_a_void_of_a_grant_said_anew_each_hour_plays_again_what_was_burned_in_that_hour() -> None:
    def cost(hours: int) -> int:
        past = "\n".join(f"void ours at {_hour(i, 30)}\nburn 1 by ana at {_hour(i, 40)}" for i in range(hours))
        return calls_for(f"grant ours 100 to seat ana\n{past}", f"void ours at {_hour(hours, 30)}")

    assert cost(40) < 1.5 * cost(20)


def test_a_void_of_a_seats_grant_leaves_alone_what_others_burned() -> None:
    """Others are played again only where a carried move or a debt connects them."""
    story = """
        subscription team seats ana cy
        move cy to di carrying at 01-02
        grant gift 5 to seat ana from 01-03
        grant ours 1000 from 01-03
        burn 1 by ana at 01-04
    """
    others = "\n".join(f"burn 1 by s{n} at {_hour(n)}" for n in range(100, 200))
    assert rows_for(story + others, "void gift at 01-03") < 50


def test_an_idle_year_of_hourly_slices_is_one_step_while_nobody_owes() -> None:
    story = """
        contract c carry from 2026-01-01
        subscription team seats ana
        recurring hourly 1 to pool every PT1H from 2026-01-02
        burn 2 by ana at 2026-01-01T01:00
        burn 1 by ana at 2026-01-03
    """

    assert rows_for(story, "burn 1 by ana at 2026-12-31") <= rows_for(story, "burn 1 by ana at 2026-01-04") + 2


@pytest.mark.parametrize(("most", "read"), [(10, 2), (0, 5)])
def test_a_usual_burn_reads_only_whether_its_id_is_known_where_its_rows_stay(most: int, read: int) -> None:
    """It read its customer, account and scope anew in each batch."""
    rows = Counting()
    ledger = Ledger(rows, most=most, **BOUNDS)
    story = play_on_engine("subscription team seats ana\ngrant ours 10\nburn 1 by ana at 06-02", ledger)
    ledger.flush()
    play_on(story, "burn 1 by ana at 06-03")
    ledger.flush()
    rows.forget()
    play_on(story, "burn 1 by ana at 06-04")
    ledger.flush()

    written = 5  # account, scope, identity, burn, place
    assert rows.count == read + written


def test_who_has_paid_is_looked_at_no_more() -> None:
    rows = Counting()
    ledger = Ledger(rows, **BOUNDS)
    story = play_on_engine(
        """
        contract c carry from 06-01
        burn 5 by ana at 06-02
        grant ours 10 from 06-05
        burn 1 by bo at 06-06
        """,
        ledger,
    )
    ledger.flush()

    assert story.balance() == "4"
    assert not [key for key in rows.tables["state"] if key.startswith(b"D")]


def test_a_first_burn_after_many_grants_that_are_over_costs_about_a_row_for_each() -> None:
    def cost(grants: int) -> int:
        past = "\n".join(
            f"grant g{i} 1 to seat s from {_hour(i)} until {_hour(i)[:-2]}30 id f{i}" for i in range(grants)
        )
        return rows_for(past, "burn 1 by s at 12-01")

    assert cost(200) < 2.5 * cost(100)


def test_an_edit_does_not_try_again_what_waits_for_something_else() -> None:
    def cost(waiting: int) -> int:
        burns = "\n".join(f"burn 1 on nowhere at 06-02 id w{i}" for i in range(waiting))
        return rows_for(f"subscription team seats ana\n{burns}", "add bo at 06-02")

    assert cost(50) == cost(5)


def _hour(n: int, minute: int = 0) -> str:
    return f"2026-06-{n // 24 + 1:02}T{n % 24:02}:{minute:02}"
