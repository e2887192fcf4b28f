"""What a fact made different is named, and little else: `Folded.changed` against the naive model, and by pencil."""

import random
from typing import Any

from ledger.answers import Balance
from ledger.facts import AnyFact, CreditBurn
from ledger.instants import DAY, HOUR, Instant, text
from ledger.ledger import Ledger
from ledger.outcome import Changed, EverySeat, Folded, Outcome, Scope
from tests.ledger.histories import HISTORY, History
from tests.ledger.language import BOUNDS, play, play_on
from tests.ledger.memory import Counting, MemoryRows
from tests.ledger.model import Model
from tests.ledger.test_laws import on_drawn_histories

Answers = dict[Instant, dict[Scope, Any]]


@on_drawn_histories(40)
def test_whatever_became_different_is_named_from_no_later_than_it_did(history: History, rng: random.Random) -> None:
    """Of every scope, past and future: where the model's balance differs, `changed` has the scope, and `since` is not later."""
    ledger, model = Ledger(MemoryRows(), **HISTORY), Model(**HISTORY)
    instants = looked_at(history, rng)
    before: dict[str, Answers] = {}
    for fact, arrived_at in history:
        model.advance(arrived_at)
        said = ledger.advance(arrived_at)
        said.append((fact, ledger.fold(fact, arrived_at)))
        said += ledger.settled()
        model.fold(fact, arrived_at)
        if rng.random() < 0.4:
            ledger.flush()
        for customer_id in sorted({one.customer_id for one, _ in said}):
            after = answers(model, customer_id, instants)
            named = named_by(ledger, customer_id, said)
            for at, held in after.items():
                was = before.get(customer_id, {}).get(at, {})
                for scope in {*was, *held}:
                    if was.get(scope) != held.get(scope):
                        since = named.get(scope)
                        assert since is not None, (fact, at, scope, was.get(scope), held.get(scope))
                        assert since <= at, (fact, at, scope, since, was.get(scope), held.get(scope))
            before[customer_id] = after


def looked_at(history: History, rng: random.Random) -> list[Instant]:
    """Instants of the facts, next to them, and a while ahead."""
    known = sorted({fact.time for fact, _ in history} | {arrived_at for _, arrived_at in history})
    picked = rng.sample(known, min(4, len(known)))
    beside = [rng.choice(known) + rng.choice((-1, 1, HOUR)) for _ in range(3)]
    return sorted({*picked, *beside, known[-1] + HOUR, known[-1] + 31 * DAY})


def answers(model: Model, customer_id: str, instants: list[Instant]) -> Answers:
    return {
        at: {one.scope: gist for one in model.balances(customer_id, at) if any(gist := _gist(one))} for at in instants
    }


def _gist(one: Balance) -> tuple[Any, ...]:
    return one.balance, one.granted, one.overage, one.grants


def named_by(ledger: Ledger, customer_id: str, said: list[tuple[AnyFact, Outcome]]) -> dict[Scope, Instant]:
    named: dict[Scope, Instant] = {}
    for fact, outcome in said:
        if isinstance(outcome, Folded) and fact.customer_id == customer_id:
            for changed in outcome.changed:
                for scope in ledger.scopes(customer_id, changed):
                    named[scope] = min(changed.since, named.get(scope, changed.since))
    return named


@on_drawn_histories(60)
def test_a_burn_in_the_order_of_time_names_only_what_is_different(history: History, rng: random.Random) -> None:
    """Beside who burned: each scope that is named is different at once, or later, where a debt is paid otherwise."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    newest: dict[str, Instant] = {}
    for fact, arrived_at in history:
        customer_id = fact.customer_id
        ledger.advance(arrived_at)
        in_order = isinstance(fact, CreditBurn) and fact.time > newest.get(customer_id, fact.time)
        before = balances(ledger, customer_id, fact.time + 1) if in_order else {}
        outcome = ledger.fold(fact, arrived_at)
        newest[customer_id] = max(fact.time, newest.get(customer_id, fact.time))
        if in_order and isinstance(outcome, Folded) and isinstance(fact, CreditBurn):
            after = balances(ledger, customer_id, fact.time + 1)
            for scope, since in named_by(ledger, customer_id, [(fact, outcome)]).items():
                own = scope.seat_id == fact.seat_id and scope.contract_id is not None
                assert own or since > fact.time or before.get(scope) != after.get(scope), (fact, scope, since)


def balances(ledger: Ledger, customer_id: str, at: Instant) -> dict[Scope, Balance]:
    return {one.scope: one for one in ledger.balances(customer_id, at)}


# --- by pencil -------------------------------------------------------------------------------------------------------


def last(story: str) -> list[str]:
    """Who is named by the last line of a story, and from which day on: `ana 06-05`, `every seat of team 07-01`."""
    outcomes = play(story).outcomes
    outcome = outcomes[list(outcomes)[-1]]
    assert isinstance(outcome, Folded), outcome
    return [f"{_who(changed)} {text(changed.since)[5:10]}" for changed in outcome.changed]


def reached(story: str, *expected: str) -> bool:
    """Whether each is named, from no later on. Where debts and moves connect, what is played again may name more."""
    named = dict(entry.rsplit(" ", 1) for entry in last(story))
    return all(named.get(who, "none") <= since for who, since in (entry.rsplit(" ", 1) for entry in expected))


def _who(changed: Changed | EverySeat) -> str:
    if isinstance(changed, EverySeat):
        return f"every seat of {changed.subscription_id or changed.contract_id}"
    scope = changed.scope
    return scope.seat_id or ("pool" if scope.contract_id is not None else "customer")


def test_a_burn_names_who_burned_and_the_pools_that_paid() -> None:
    story = """
        subscription team seats ana bo
        recurring monthly 10 per seat of team every P1M
        grant ours 10 from 01-01
        burn 1 by bo at 01-02
        burn 4 by ana at 01-03
    """
    assert last(story) == ["ana 01-03"]
    assert last(story + "burn 10 by ana at 01-04") == ["pool 01-04", "ana 01-04"]
    assert last(story + "grant all 5 to customer from 01-01 \n burn 30 by ana at 01-05") == [
        "customer 01-05", "pool 01-05", "ana 01-05"
    ]  # fmt: skip
    assert last(story + "burn 1 at 01-06") == ["pool 01-06"]


def test_a_late_burn_names_whom_it_displaces() -> None:
    story = """
        grant ours 10 from 01-01
        burn 5 by ana at 01-03
        burn 5 by bo at 01-04
        burn 5 by cy at 01-05
        burn 1 by di at 01-02
    """
    assert last(story) == ["pool 01-02", "bo 01-04", "di 01-02"]


def test_a_grant_to_a_pool_names_the_pool_and_whoever_burned_since() -> None:
    story = """
        subscription team seats ana bo cy
        burn 1 by ana at 01-03
        burn 1 by bo at 01-05
    """
    assert last(story + "grant ours 10 from 01-05") == ["pool 01-05", "bo 01-05"]
    assert last(story + "grant ours 10 from 01-06") == ["pool 01-06"]
    assert last(story + "grant ours 10 to seat cy from 01-06") == ["cy 01-06"]


def test_what_all_seats_earn_is_one_entry() -> None:
    story = f"""
        subscription team seats {" ".join(f"s{n}" for n in range(200))}
        recurring monthly 10 per seat of team every P1M
    """
    assert last(story) == ["every seat of team 01-01"]
    assert last(story + "change monthly amount 20 at 01-05") == ["every seat of team 02-01"]
    assert last(story + "void monthly at 01-05") == ["every seat of team 01-05"]
    assert last(story + "end team at 02-05") == ["every seat of team 02-05"]
    assert last(story + "reset at 01-05") == ["pool 01-05", "every seat of c 01-05"]
    assert last(story + "end contract at 01-05") == ["pool 01-05", "every seat of c 01-05"]
    assert last(story + "add new at 01-05") == ["new 01-05"]
    assert last(story + "subscription desk seats ana \n add new in desk at 01-05") == []


def test_who_sits_where_changes_a_pool_that_is_given_by_seat() -> None:
    story = """
        subscription team seats ana
        recurring monthly 10 per unit of team every P1M
        add bo at 01-05
    """
    assert last(story) == ["pool 01-05"]


def test_whatever_a_seat_had_goes_with_it() -> None:
    story = """
        subscription team seats ana bo
        recurring monthly 10 per seat of team every P1M
        move ana to cy carrying at 01-10
    """
    assert last(story) == ["ana 01-10", "cy 01-10"]
    assert last(story + "burn 1 by ana at 01-05 \n") == ["ana 01-05", "cy 01-10"]
    assert last(story + "move cy to di carrying at 01-20 \n burn 1 by ana at 01-05") == [
        "ana 01-05", "cy 01-10", "di 01-20"
    ]  # fmt: skip
    assert last(story + "burn 1 by bo at 01-11") == ["bo 01-11"]
    assert last(story + "change monthly amount 20 at 01-05") == ["every seat of c 02-01"]


def test_a_debt_reaches_whoever_is_given_next() -> None:
    """A new debt of ana's is paid from February's slice: what is left of that for the pool, and for bo's debt, is less."""
    story = """
        contract c carry from 2026-01-01
        subscription team quantity 1
        recurring monthly 10 per unit of team every P1M
        burn 11 by bo at 01-02
    """
    assert last(story) == ["pool 01-02", "bo 01-02"]
    assert last(story + "burn 1 by ana at 01-03") == ["pool 02-01", "ana 01-03", "bo 02-01"]
    assert last(story + "take back burn-003") == ["pool 01-02", "bo 01-02"]


def test_a_late_debt_is_paid_where_others_burned_since() -> None:
    """What February's grant paid of ana's debt, bo's burn cannot have: the rest of it is now in debt as well."""
    story = """
        contract c carry from 2026-01-01
        grant ours 10 from 02-01
        burn 1 by bo at 02-02
        burn 5 by ana at 01-02
    """
    assert reached(story, "pool 02-01", "ana 01-02")
    assert reached(story + "burn 5 by cy at 01-03", "pool 02-01", "bo 02-02", "cy 01-03")


def test_a_debt_that_is_paid_first_leaves_less_for_the_others() -> None:
    story = """
        contract c carry from 2026-01-01
        grant ours 8 from 02-01
        burn 5 by ana at 01-02
        burn 5 by bo at 01-03
        burn 1 by bo at 02-02
    """
    assert last(story) == ["bo 02-02"]
    assert reached(story + "burn 1 by ana at 01-04", "ana 01-04", "bo 02-01")


def test_what_a_move_brings_pays_a_debt() -> None:
    """Bo's debt of 3 was paid from what came with the move; of ana's 10, only 2 are left now, and February pays the rest."""
    story = """
        contract c carry from 2026-01-01
        subscription team seats ana
        recurring monthly 10 to pool every P1M from 02-01
        grant gift 10 to seat ana from 01-01
        burn 3 by bo at 01-02
        move ana to bo carrying at 01-10
        grant cys 1 to seat cy from 01-01
        grant little 0.5 to customer from 01-20
        burn 1 by cy at 01-21
        burn 8 by ana at 01-05
    """
    assert reached(story, "customer 01-20", "pool 02-01", "ana 01-05", "bo 01-10")


def test_what_was_carried_on_stays_where_the_subscription_of_the_move_ends_before() -> None:
    story = """
        subscription team seats ana
        recurring monthly 10 per seat of team every P1M
        subscription desk seats ana
        move ana to bo carrying at 01-20 in desk
        end desk at 01-10
    """
    assert last(story) == ["pool 01-10", "every seat of c 01-10"]


def test_each_further_debt_is_paid_by_whoever_is_given_next() -> None:
    """Also where it is the usual burn, of a seat that was at hand."""
    story = """
        contract c carry from 2026-01-01
        recurring monthly 10 to pool every P1M from 02-01
        burn 1 by ana at 01-02
        burn 1 by ana at 01-03
    """
    assert last(story) == ["pool 02-01", "ana 01-03"]


def test_a_burn_taken_back_names_who_is_given_back() -> None:
    story = """
        grant ours 10 from 01-01
        burn 8 by ana at 01-03 id first
        burn 5 by bo at 01-04
        take back first
    """
    assert last(story) == ["pool 01-03", "ana 01-03", "bo 01-04"]


def test_every_seat_is_named_in_one_order_a_few_at_a_time() -> None:
    """Those that ever sat, were given or burned: who they are can be asked in steps."""
    played = play("""
        subscription team seats di bo
        subscription desk seats ann di
        remove bo at 01-02
        grant gift 5 to seat cy from 01-03
        burn 1 by al at 01-04
        burn 1 by di at 01-04
        end contract at 06-01
    """)
    assert isinstance(played.ledger, Ledger)
    outcome = list(played.outcomes.values())[-1]
    assert isinstance(outcome, Folded)
    [every] = [one for one in outcome.changed if isinstance(one, EverySeat)]
    found = list(played.ledger.scopes("acme", every))
    assert [scope.seat_id for scope in found] == ["al", "ann", "bo", "cy", "di"]
    for n, scope in enumerate(found):
        assert list(played.ledger.scopes("acme", every, scope)) == found[n + 1 :]
    of_team = EverySeat(contract_id="c", subscription_id="team", credit_type="credits", since=0)
    assert [scope.seat_id for scope in played.ledger.scopes("acme", of_team)] == ["bo", "di"]


def test_a_change_for_many_seats_reads_and_writes_few_rows() -> None:
    """However many seats there are, the fold of what all of them earn costs the same, and so does what it says."""
    costs = []
    for seats in (10, 1_000):
        rows = Counting()
        names = " ".join(f"s{n}" for n in range(seats))
        story = f"subscription team seats {names} \n recurring monthly 10 per seat of team every P1M"
        ledger = Ledger(rows, **BOUNDS)
        played = play(story, ledger)
        ledger.flush()
        rows.forget()
        play_on(played, "change monthly amount 20 at 01-05")
        ledger.flush()
        costs.append(rows.count)
    assert costs[0] == costs[1] < 30, costs


def test_each_fact_names_whom_it_is_about_and_from_when_on() -> None:
    story = play("""
        contract c from 06-01 bringing
        subscription team seats ana from 06-02
        recurring monthly 10 per seat of team every P1M from 06-03
        recurring shared 10 to pool every P1M from 06-04
        grant gift 5 to seat bo from 06-05
        grant ours 5 from 06-06
        contract d from 06-01
        subscription staff seats cy
        recurring own 10 per seat of staff every P1M from 06-08 id recurring
        recurring all 10 to pool every P1M from 06-09 id pooled
        change own amount 20 at 06-10 id changed
        void gift at 06-12 on c id void
        void shared slice 0 at 06-12 on c id void-pool
        void own slice 0 at 06-13 id void-all
        void own slice 0 seat cy at 06-12 id void-one
        adjust own by 5 seat cy at 06-14 id adjust
        adjust ours by 5 at 06-14 on c id adjust-pool
        reset at 06-15 id reset
        reset customer at 06-16 id reset-customer
        end staff at 09-01 said 06-17 id end
        end contract at 10-01 said 06-18 id end-contract
        add dy in staff at 06-19 id add
        remove dy in staff at 06-25 said 06-20 id remove
        grant late 5 to customer from 06-21 id late
    """)

    told = {id: outcome for id, outcome in story.outcomes.items() if isinstance(outcome, Folded)}
    assert {
        id: [f"{_who(one)} {text(one.since)[5:10]}" for one in outcome.changed] for id, outcome in told.items()
    } == {
        "contract-c": ["pool 06-04", "bo 06-05", "every seat of team 06-03"],
        "contract-d": [],
        "subscription-002": [],
        "recurring": ["every seat of staff 06-08"],
        "pooled": ["pool 06-09"],
        "changed": ["every seat of staff 07-08"],
        "void": ["bo 06-12"],
        "void-pool": ["pool 06-12"],
        "void-all": ["every seat of staff 06-13"],
        "void-one": ["cy 06-12"],
        "adjust": ["cy 06-14"],
        "adjust-pool": ["pool 06-14"],
        "reset": ["pool 06-15", "every seat of d 06-15"],
        "reset-customer": ["customer 06-16"],
        "end": ["every seat of staff 09-01"],
        "end-contract": ["pool 10-01", "every seat of d 10-01"],
        "add": ["dy 06-19"],
        "remove": ["dy 06-25"],
        "late": ["customer 06-21"],
    }
    counted = {id: [(one.subscription_id, text(one.since)[5:10]) for one in told[id].seats_changed] for id in told}
    assert {id: counts for id, counts in counted.items() if counts} == {
        "contract-c": [("team", "06-02")],
        "subscription-002": [("staff", "06-01")],
        "end": [("staff", "09-01")],
        "end-contract": [("staff", "06-18")],
        "add": [("staff", "06-19")],
        "remove": [("staff", "06-25")],
    }


def test_a_pool_that_is_given_by_units_is_another_from_each_change_of_them_on() -> None:
    story = play("""
        contract c from 06-01
        subscription team quantity 1
        recurring monthly 10 per unit of team every P1M
        quantity 2 at 06-10 id two
        change team mode seats at 06-11 id mode
        change team revoke_on_removal yes at 06-12 id revoking
        change team included_seats 4 at 06-13 id included
        add bo at 06-20 and add cy at 06-16 id several
    """)

    told = {id: outcome for id, outcome in story.outcomes.items() if isinstance(outcome, Folded)}
    assert {id: [f"{_who(one)} {text(one.since)[5:10]}" for one in told[id].changed] for id in list(told)[3:]} == {
        "two": ["pool 06-10"],
        "mode": ["pool 06-11"],
        "revoking": ["pool 06-12"],
        "included": [],
        "several": ["pool 06-16"],
    }
    assert [text(one.since)[5:10] for id in list(told)[3:] for one in told[id].seats_changed] == [
        "06-10", "06-11", "06-12", "06-13", "06-16",
    ]  # fmt: skip


def test_the_seats_of_a_contract_change_where_it_ended_or_ends_now_whichever_comes_first() -> None:
    story = play("""
        contract c from 01-01 until 01-20
        subscription team seats ana
        end contract at 01-10 said 01-15 id earlier
        end contract at 01-25 said 01-16 id later
        end contract at 01-25 said 01-28 id same
    """)

    told = {id: outcome for id, outcome in story.outcomes.items() if isinstance(outcome, Folded)}
    since = {id: [text(one.since)[5:10] for one in told[id].seats_changed] for id in ("earlier", "later", "same")}
    assert since == {"earlier": ["01-10"], "later": ["01-10"], "same": ["01-28"]}


def test_only_what_a_fact_changed_is_named_by_it() -> None:
    """Not what a debt before it changed, nor each seat beside all of them, nor a pool that pays what it paid."""
    story = """
        contract c carry from 2026-01-01
        grant gift 5 to seat cy from 01-01
        burn 5 by bo at 01-02
        burn 1 by cy at 01-03
    """
    assert last(story) == ["cy 01-03"]
    story += "subscription team seats ana \n change team included_seats 4 at 01-04 \n burn 1 by cy at 01-05"
    assert last(story) == ["cy 01-05"]
    assert last("burn 1 by ana at 01-05 \n reset at 01-05") == ["pool 01-05", "every seat of c 01-05"]
    story = """
        grant ours 10 from 01-01
        grant gift 5 to seat ana from 01-01 priority 200
        burn 3 by ana at 01-20
        adjust gift by 1 at 01-18
    """
    assert last(story) == ["ana 01-18"]


def test_a_burn_of_the_pool_names_it_once_and_who_else_paid() -> None:
    twice = "burn 1 at 01-02 \n burn 1 at 01-03"
    assert last(twice) == ["pool 01-03"]
    assert last("grant ours 10 from 01-01 \n" + twice) == ["pool 01-03"]
    assert last("grant all 10 to customer from 01-01 \n" + twice) == ["customer 01-03", "pool 01-03"]


def test_what_is_voided_at_the_instant_of_a_move_changes_what_the_heir_has() -> None:
    story = """
        subscription team seats ana
        recurring monthly 31 per seat of team every P1M
        move ana to cy carrying at 01-10
        void monthly seat ana at 01-10
    """
    assert last(story) == ["ana 01-10", "cy 01-10"]
