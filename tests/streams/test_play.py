"""`seatstream play`: stories from files, and the examples with the balances that a pencil gives."""

import argparse
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from ledger import amounts
from ledger.answers import Charge
from ledger.instants import instant
from streams import play
from streams.play import Play
from streams.stories import Bad, Note, Question, Told, step, steps

EXAMPLES = Path(__file__).parents[2] / "examples"

# The story, and at each instant what each seat and pool has left; "pool" is the contract's.
BALANCES: dict[str, dict[str, dict[str, str]]] = {
    "a-first-look": {"2026-06-20T00:00:00Z": {"pool": "30", "ana": "64.75", "bo": "0", "cy": "50"}},
    "seats-come-and-go": {
        "2025-11-16T00:00:00Z": {
            "customer1@harbor.test": "100",
            "customer2@harbor.test": "100",
            "customer3@harbor.test": "100",
        },
        "2025-12-16T00:00:00Z": {
            "customer1@harbor.test": "70",
            "customer2@harbor.test": "0",
            "customer3@harbor.test": "100",
            "customer4@harbor.test": "100",
        },
        "2026-01-02T00:00:00Z": {
            "customer1@harbor.test": "0",
            "customer2@harbor.test": "0",
            "customer3@harbor.test": "100",
            "customer4@harbor.test": "100",
        },
    },
    # 2 x 10 and 10 x 2/30; 3 x 10 and 8 x 10 x 22/31, less 5.5; 4 x 10.
    "a-pool-that-grows": {
        "2025-04-30T00:00:00Z": {"pool": "20.67"},
        "2025-05-12T00:00:00Z": {"pool": "81.27"},
        "2025-05-31T00:00:00Z": {"pool": "81.27"},
        "2025-06-02T00:00:00Z": {"pool": "40"},
    },
    # 100 - 37.5; 100 x 254/720; 100 x 15/30.
    "joining-mid-month": {
        "2025-06-21T00:00:00Z": {"ana": "62.5", "bo": "100", "cy": "35.277777778", "di": "50"},
        "2025-07-01T00:00:01Z": {"ana": "100", "bo": "0", "cy": "100", "di": "100"},
    },
    "editors-and-viewers": {},
    "a-seat-that-is-taken-away": {
        "2026-02-21T00:00:00Z": {
            "u-1": "28",
            "u-2": "28",
            "u-3": "28",
            "u-4": "28",
            "new_user_ext_456": "14",
            "user_ext_456_to_remove": "0",
        },
        "2026-02-23T00:00:00Z": {
            "u-1": "28",
            "u-2": "28",
            "u-3": "28",
            "u-4": "28",
            "new_user_ext_456": "14",
            "user_ext_456_to_remove": "25",
        },
    },
    "late-and-twice": {
        "2025-09-03T00:00:00Z": {"pool": "97", "ana": "0"},
        "2025-10-03T00:00:00Z": {"pool": "0", "ana": "0"},
    },
}


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    play.add_arguments(parser)
    return play.run(parser.parse_args(words))


def told(name: str, until: str | None = None) -> Play:
    """A story of the examples, told up to the first question about an instant, or to its end."""
    played = Play()
    for _, found in steps((EXAMPLES / f"{name}.jsonl").read_bytes().splitlines()):
        if isinstance(found, Told):
            played.tell(found.fact)
        elif isinstance(found, Question) and until is not None and found.at == instant(until):
            return played
    return played


def left(played: Play, customer_id: str, at: str) -> dict[str, str]:
    balances = played.ledger.balances(customer_id, instant(at))
    return {balance.scope.seat_id or "pool": amounts.text(balance.balance) for balance in balances}


def customer(played: Play) -> str:
    [customer_id] = played.customers
    return customer_id


# --- the examples ----------------------------------------------------------------------------------------------------


def test_every_example_is_checked_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.jsonl")} == set(BALANCES)


@pytest.mark.parametrize("name", BALANCES)
def test_an_example_ends_in_the_balances_that_a_pencil_gives(name: str) -> None:
    for at, balances in BALANCES[name].items():
        played = told(name, until=at)
        assert left(played, customer(played), at) == balances


@pytest.mark.parametrize("name", BALANCES)
def test_an_example_can_be_played_and_begins_by_saying_what_it_is_about(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = EXAMPLES / f"{name}.jsonl"

    assert isinstance(step(file.read_bytes().splitlines()[0]), Note)
    assert run(str(file)) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "balances" in shown.out or "charges" in shown.out


def test_the_seats_of_harbor_change_on_the_days_that_were_scheduled() -> None:
    ledger = told("seats-come-and-go").ledger
    counts = [
        ledger.counts("harbor", "c-1", instant(f"{day}T00:00:00Z"))[0]
        for day in ("2025-09-30", "2025-10-01", "2025-11-15", "2025-12-01", "2025-12-15")
    ]

    assert [(count.total, count.assigned) for count in counts] == [(3, 3), (5, 3), (4, 2), (4, 3), (4, 2)]


def test_the_editors_are_charged_with_the_next_invoice() -> None:
    """L20: 1 x 25 x 15/30 on 1 May; 5 x 25 x 28/31 and 5 x 25 on 1 June."""
    charges = told("editors-and-viewers").ledger.charges("user_123", instant("2026-06-01T00:00:01Z"))

    def row(charge: Charge) -> tuple[str, str, int, str]:
        day = play._when(charge.time)
        return (day, charge.kind, charge.seats, amounts.text(charge.amount or 0))

    assert sorted(map(row, charges)) == [
        ("2026-05-01", "increase", 1, "12.5"),
        ("2026-06-01", "increase", 5, "112.9"),
        ("2026-06-01", "period", 5, "125"),
    ]


def test_ridge_loses_less_once_the_late_burn_is_known() -> None:
    """L16: what the late burn takes is no longer there to expire."""
    entries = told("late-and-twice").ledger.entries("ridge", instant("2025-10-03T00:00:00Z"))

    lost = [amounts.text(entry.amount) for entry in entries if entry.type == "expired" and entry.amount]
    assert lost == ["-30"]
    assert [amounts.text(entry.beside) for entry in entries if entry.type == "overage"] == ["5"]


# --- the command -----------------------------------------------------------------------------------------------------


def test_a_bad_line_is_told_by_file_line_field_and_reason_and_nothing_is_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = tmp_path / "story.jsonl"
    story.write_text(
        '{"note": "fine"}\n\n'
        '{"id": "a", "customer_id": "acme", "amount": "1.0000000001", "time": "2026-03-16T00:00:00Z"}\n'
        "not json\n"
        '{"id": "a", "customer_id": "acme"}\n'
        '{"at": "noon"}\n'
        '{"at": "2026-03-16T00:00:00Z", "show": ["seats", "beds"]}\n'
    )

    assert run(str(story)) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert lines[0] == (
        f'{story}:3: amount_too_fine: amount is "1.0000000001"; '
        "give at most 9 digits after the point: nothing is rounded in silence"
    )
    assert lines[1].startswith(f"{story}:4: unreadable: the line is not JSON")
    assert lines[2].startswith(f"{story}:5: missing_field: topic is missing; give one of contract-change")
    assert lines[3].startswith(f"{story}:6: wrong_type: at is ")
    assert lines[4].startswith(f"{story}:7: unknown_value: show[1] is ")


def test_a_file_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nowhere.jsonl") == 1
    assert "nowhere.jsonl: No such file or directory" in capsys.readouterr().err


def test_more_bad_lines_than_a_screen_holds_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = tmp_path / "story.jsonl"
    story.write_text("x\n" * 25)

    assert run(str(story)) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"{story}: 5 more lines cannot be read"


def shown(*lines: dict[str, object]) -> str:
    """What playing these lines prints."""
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    play.play(steps(msgspec.json.encode(line) for line in lines), console)
    return console.export_text()


BURN: dict[str, object] = {
    "id": "run-1",
    "customer_id": "acme",
    "contract_id": "c-1",
    "amount": 2,
    "time": "2026-03-16T00:00:00Z",
}
CONTRACT: dict[str, object] = {
    "type": "contract.created",
    "id": "k-1",
    "customer_id": "acme",
    "contract_id": "c-1",
    "time": "2026-03-01T00:00:00Z",
    "grants": [{"grant_id": "gift", "amount": 5}],
}
NOW: dict[str, object] = {"at": "2026-03-17T00:00:00Z", "show": ["balances", "seats", "charges"]}


def test_what_did_not_simply_fold_is_said() -> None:
    told = shown(BURN, CONTRACT, BURN, BURN | {"amount": 3}, CONTRACT | {"id": "k-2"}, NOW)

    assert "waiting  credit-burn run-1 at 2026-03-16  contract c-1 is not known yet" in told
    assert "folded  credit-burn run-1 at 2026-03-16  after it had waited" in told
    assert "repeated  credit-burn run-1 at 2026-03-16  with another body; the first one counts" in told
    assert "refused  contract-change k-2" in told and "already_exists" in told
    assert "gift: 3 of 5" in told
    assert "no seats" in told and "no charges" in told


def test_what_waits_at_the_end_of_a_story_is_said() -> None:
    assert "nothing that it names ever came" in shown(BURN)


def test_a_question_may_be_about_one_customer_and_one_that_nobody_knows() -> None:
    told = shown(CONTRACT, CONTRACT | {"customer_id": "other"}, NOW | {"customer_id": "nobody"})

    assert "nobody at 2026-03-17" in told and "no balances" in told
    assert "acme at" not in told
    assert "other at 2026-03-17" in shown(CONTRACT, CONTRACT | {"customer_id": "other"}, NOW)


@pytest.mark.parametrize(
    ("line", "topic"),
    [
        ({"type": "period.reset"}, "contract-change"),
        ({"type": "burn.voided", "burn_id": "run-1"}, "credit-burn"),
        ({"amount": 1}, "credit-burn"),
        ({"operations": [], "subscription_id": "team"}, "seat-change"),
        ({"topic": "credit-burn", "type": "credit.burned", "amount": 1}, "credit-burn"),
    ],
)
def test_the_topic_of_a_line_may_be_left_out_where_it_is_evident(line: dict[str, object], topic: str) -> None:
    found = step(msgspec.json.encode({"id": "x", "customer_id": "acme", "time": "2026-03-16T00:00:00Z"} | line))

    assert isinstance(found, Told)
    assert found.topic == topic


def test_an_unknown_topic_is_refused() -> None:
    found = step(b'{"topic": "alert-rule", "rule_id": "low"}')

    assert isinstance(found, Bad)
    assert (found.code, found.reason.split(";")[0]) == ("unknown_value", 'topic is "alert-rule"')
