"""Every path over real HTTP: what it answers is what the ledger answers, in the shape that the document says."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from ledger.amounts import UNIT
from ledger.facts import CreditBurn
from ledger.instants import instant
from tests.ledger.language import facts
from tests.web.cluster import Server, served
from web import api, asked, shapes
from web.segments import segment
from wire import answers

STORY = """
    contract c-1 from 2026-01-01 bringing
    subscription team seats ana bo cy +1 unassigned included 3 code editor
    recurring monthly 20 per seat of team every P1M
    grant pooled 500 from 2026-01-01
    grant gift 5 to seat bo from 2026-01-05 until 2026-02-01
    burn 1.25 by ana at 2026-01-16T09:30 id run-1
    grant shared 7 to customer
    burn 30 by bo at 2026-01-17 id run-2
    burn 2 at 2026-01-18 id run-3
    remove cy at 2026-01-20
"""
ACME = "/v1/customers/acme"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with served() as running:
        for fact, arrived_at in facts(STORY):
            running.worker.shared.fold([fact], arrived_at)
        yield running


def shaped(held: Any, shape: type[Any]) -> Any:
    """The answer, held against what the document says of it."""
    msgspec.convert(held, shape, dec_hook=asked.custom)
    return held


async def test_a_seat_has_what_the_ledger_says_it_has(server: Server) -> None:
    held = shaped(await server.get(f"{ACME}/balances?seat_id=ana&at=2026-01-17T00:00:00Z"), shapes.Balances)

    [row] = held["data"]
    assert row["scope"] == {"seat_id": "ana"} and row["contract_id"] == "c-1"
    assert (row["balance"], row["granted"], row["overage"]) == ("18.75", "20", "0")
    assert row["available"] == "525.75"  # 18.75 + 500 + 7
    assert [grant["grant_id"] for grant in row["grants"]] == ["monthly"]
    assert held["at"] == "2026-01-17T00:00:00Z" and held["next_cursor"] is None
    assert held["as_of"]["lag"] == 0 and held["as_of"]["event_time"] == "2026-01-20T00:00:00Z"


async def test_balances_are_those_of_the_ledger_at_any_instant(server: Server) -> None:
    ledger = server.worker.shared.all[server.worker.shared.of("acme")].ledger
    for at in ("2026-01-01T00:00:00Z", "2026-01-17T00:00:00Z", "2026-01-19T00:00:00Z", "2026-02-01T00:00:00Z"):
        held = shaped(await server.get(f"{ACME}/balances?at={at}"), shapes.Balances)
        found = [{name: value for name, value in row.items() if name != "available"} for row in held["data"]]
        assert found == [answers.balance(each) for each in ledger.balances("acme", instant(at))]


async def test_a_read_after_a_write_sees_it(server: Server) -> None:
    """Also where the burn is ahead of the clock."""
    held = await server.get(f"{ACME}/balances?seat_id=bo")

    assert held["at"] == "2026-01-20T00:00:00.000001Z"
    # 20 + 5 of his own, then 5 of what all share.
    assert held["data"][0]["balance"] == "0"


async def test_filters_of_balances(server: Server) -> None:
    async def whose(query: str) -> list[Any]:
        held = shaped(await server.get(f"{ACME}/balances?{query}"), shapes.Balances)
        return [row["scope"].get("seat_id", row["contract_id"]) for row in held["data"]]

    assert await whose("seat_id=bo&seat_id=ana&seat_id=nobody") == ["ana", "bo"]
    assert await whose("contract_id=c-1") == ["c-1", "ana", "bo", "cy"]
    assert await whose("contract_id=other") == []
    assert await whose("subscription_id=team") == ["ana", "bo", "cy"]
    assert await whose("credit_type=tokens") == []
    assert await whose("kind=commit") == []
    assert await whose("kind=credit&seat_id=ana") == ["ana"]


async def test_past_and_coming_grants(server: Server) -> None:
    span = "active_from=2026-01-01T00:00:00Z&active_to=2026-03-01T00:00:00Z"
    held = shaped(await server.get(f"{ACME}/balances?seat_id=bo&{span}"), shapes.Balances)

    [row] = held["data"]
    named = [(grant["grant_id"], grant.get("slice"), grant["balance"]) for grant in row["grants"]]
    assert named == [("monthly", 0, "0"), ("gift", None, "0"), ("monthly", 1, "20")]
    assert row["balance"] == "0"


async def test_lines_say_who_paid(server: Server) -> None:
    held = shaped(await server.get(f"{ACME}/ledger?seat_id=bo"), shapes.Ledger)

    told = [(row["type"], row["amount"], row["grant_id"], row["cause"]["id"]) for row in held["data"]]
    assert [line for line in told if line[3] == "run-2"] == [
        ("burned", "-5", "pooled", "run-2"),
        ("burned", "-5", "gift", "run-2"),
        ("burned", "-20", "monthly", "run-2"),
    ]
    pooled = await server.get(f"{ACME}/ledger?grant_id=pooled&from=2026-01-17T00:00:00Z&to=2026-01-18T00:00:00Z")
    assert [(row["amount"], row["balance_after"], row["cause"]["id"]) for row in pooled["data"]] == [
        ("-5", "495", "run-2")
    ]


async def test_lines_from_one_instant_until_before_another(server: Server) -> None:
    span = "from=2026-01-16T09:30:00Z&to=2026-01-17T00:00:00Z"
    held = await server.get(f"{ACME}/ledger?{span}")

    assert [row["cause"]["id"] for row in held["data"]] == ["grant-002", "run-1"]


async def test_who_holds_a_seat(server: Server) -> None:
    held = shaped(await server.get(f"{ACME}/seats?feature_code=editor"), shapes.Seats)
    assert [row["seat_id"] for row in held["data"]] == ["ana", "bo"]
    assert held["data"][0]["since"] == "2026-01-01T00:00:00Z"

    then = await server.get(f"{ACME}/seats?subscription_id=team&at=2026-01-19T00:00:00Z")
    assert [row["seat_id"] for row in then["data"]] == ["ana", "bo", "cy"]
    assert (await server.get(f"{ACME}/seats?feature_code=viewer"))["data"] == []


async def test_a_customer(server: Server) -> None:
    held = shaped(await server.get(ACME), shapes.Customer)

    [contract] = held["data"]["contracts"]
    [team] = contract["subscriptions"]
    assert (team["quantity"], team["assigned"], team["unassigned"]) == (3, 2, 1)
    assert (team["included"], team["extra"], team["paid"], team["pending_removals"]) == (3, 0, 4, 1)
    assert (team["changed_at"], team["version"]) == ("2026-01-20T00:00:00Z", 1)
    assert [(row["contract_id"], row["balance"]) for row in held["data"]["balances"]] == [(None, "7"), ("c-1", "493")]

    before = await server.get(f"{ACME}?at=2025-01-01T00:00:00Z")
    assert before["data"]["contracts"][0]["subscriptions"][0]["quantity"] == 0


async def test_how_many_seats_there_were(server: Server) -> None:
    held = shaped(await server.get(f"{ACME}/history/seats"), shapes.SeatHistory)

    assert [(row["from"], row["to"], row["quantity"], row["added"], row["removed"]) for row in held["data"]] == [
        ("2026-01-01T00:00:00Z", "2026-01-20T00:00:00Z", 4, ["ana", "bo", "cy"], []),
        ("2026-01-20T00:00:00Z", None, 3, [], ["cy"]),
    ]
    of_cy = await server.get(f"{ACME}/history/seats?seat_id=cy&from=2026-01-20T00:00:00Z")
    assert [row["removed"] for row in of_cy["data"]] == [["cy"]]


async def test_the_curve_of_a_balance(server: Server) -> None:
    query = "seat_id=ana&from=2026-01-16T00:00:00Z&to=2026-01-18T00:00:00Z&every=P1D"
    held = shaped(await server.get(f"{ACME}/history/balance?{query}"), shapes.BalanceHistory)

    assert [(row["time"][:10], row["balance"], row["burned"]) for row in held["data"]] == [
        ("2026-01-16", "20", "0"),
        ("2026-01-17", "18.75", "1.25"),
        ("2026-01-18", "18.75", "0"),
    ]


async def test_may_she_spend_so_much(server: Server) -> None:
    held = shaped(await server.get(f"{ACME}/available?seat_id=ana&amount=20"), shapes.Available)
    assert held["data"]["available"] is True and held["data"]["contract_id"] == "c-1"
    assert [(payer["grant_id"], payer["amount"]) for payer in held["data"]["payers"]] == [
        ("monthly", "18.75"),
        ("pooled", "1.25"),
    ]
    too_much = await server.get(f"{ACME}/available?seat_id=ana&amount=518.76")
    assert too_much["data"]["available"] is False and too_much["data"]["covered"] == "518.75"


async def test_customers_by_a_part_of_their_id(server: Server) -> None:
    held = shaped(await server.get("/v1/customers?search=CM"), shapes.Customers)

    assert held["data"] == [{"customer_id": "acme", "contracts": 1}]
    assert len(held["as_of"]["offsets"]) == 4
    assert (await server.get("/v1/customers?search=zz"))["data"] == []


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["balances", "seats", "ledger", "history/seats"])
async def test_pages_come_to_the_whole(server: Server, path: str) -> None:
    whole = (await server.get(f"{ACME}/{path}"))["data"]
    rows: list[Any] = []
    cursor = ""
    while True:
        page = await server.get(f"{ACME}/{path}?limit=1{cursor}")
        assert len(page["data"]) <= 1
        rows += page["data"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert rows == whole and len(rows) > 1


async def test_customers_come_in_pages_of_all_partitions() -> None:
    async with served() as server:
        ids = sorted(f"customer-{n}" for n in range(25))
        for fact, arrived_at in facts("grant gift 1"):
            for customer_id in ids:
                server.worker.shared.fold([msgspec.structs.replace(fact, customer_id=customer_id)], arrived_at)
        found: list[str] = []
        cursor = ""
        while True:
            page = await server.get(f"/v1/customers?limit=7{cursor}")
            found += [row["customer_id"] for row in page["data"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert found == ids


async def test_a_row_that_comes_between_two_pages_skips_no_other(server: Server) -> None:
    first = await server.get(f"{ACME}/balances?limit=3")
    for fact, arrived_at in facts("add aa and remove bo at 2026-01-21"):
        if type(fact).__name__ == "SeatChange":
            server.worker.shared.fold(
                [msgspec.structs.replace(fact, contract_id="c-1", subscription_id="team")], arrived_at
            )
    rest = await server.get(f"{ACME}/balances?cursor={first['next_cursor']}")

    whose = [row["scope"].get("seat_id", row["contract_id"]) for row in (*first["data"], *rest["data"])]
    assert whose == [None, "c-1", "ana", "bo", "cy"]


# --- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "field", "code"),
    [
        (f"{ACME}/balances?limit=0", "limit", "unknown_value"),
        (f"{ACME}/balances?limit=1001", "limit", "unknown_value"),
        (f"{ACME}/balances?limit=x", "limit", "wrong_type"),
        (f"{ACME}/balances?at=yesterday", "at", "wrong_type"),
        (f"{ACME}/balances?at=2026-01-01T00:00:00Z&at=2026-01-02T00:00:00Z", "at", "wrong_type"),
        (f"{ACME}/balances?at=2028-01-01T00:00:00Z", "at", "unknown_value"),
        (f"{ACME}/balances?kind=gift", "kind", "unknown_value"),
        (f"{ACME}/balances?cursor=abc", "cursor", "unknown_value"),
        (f"{ACME}/balances?seat=ana", "seat", "unknown_parameter"),
        (f"{ACME}/balances?seat_id=", "seat_id", "unknown_value"),
        (f"{ACME}/available?seat_id=ana", "amount", "missing_field"),
        (f"{ACME}/available?seat_id=ana&amount=0", "amount", "amount_out_of_range"),
        (f"{ACME}/available?seat_id=ana&amount=1e400", "amount", "wrong_type"),
        (f"{ACME}/available?seat_id=ana&amount=many", "amount", "wrong_type"),
        (f"{ACME}/history/balance?every=P1S", "every", "wrong_type"),
        (f"{ACME}/history/balance?every=PT1H&from=2020-01-01T00:00:00Z", "every", "unknown_value"),
        (f"{ACME}/history/balance?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from", "unknown_value"),
    ],
)
async def test_a_parameter_that_does_not_fit_is_named(server: Server, path: str, field: str, code: str) -> None:
    status, headers, text = await server.raw("GET", path)
    problem = msgspec.json.decode(text)

    assert (status, problem["field"], problem["code"]) == (400, field, code)
    assert headers["Content-Type"].startswith("application/problem+json")
    assert problem["status"] == 400 and field in problem["detail"]


async def test_a_cursor_of_another_list_is_refused(server: Server) -> None:
    cursor = (await server.get(f"{ACME}/seats?limit=1"))["next_cursor"]

    problem = await server.get(f"{ACME}/balances?cursor={cursor}", 400)
    assert problem["field"] == "cursor" and "another list (seats)" in problem["detail"]


async def test_a_customer_that_was_never_known_is_404(server: Server) -> None:
    for path in api.ABOUT_A_CUSTOMER:
        query = "?amount=1" if path.path.endswith("available") else ""
        problem = await server.get(path.path.replace("{customer_id}", "nobody") + query, 404)
        assert problem["code"] == "unknown_customer"
    assert (await server.get(f"{ACME}/balances?seat_id=nobody"))["data"] == []


async def test_a_path_that_is_none_and_a_method_that_none_takes(server: Server) -> None:
    assert (await server.get("/v1/nothing", 404))["code"] == "no_such_path"
    status, headers, text = await server.raw("PUT", ACME)
    assert status == 405 and "GET" in headers["Allow"] and msgspec.json.decode(text)["code"] == "no_such_method"


@pytest.mark.parametrize(
    "customer_id",
    [
        "a/b",
        "a b",
        "<script>alert(1)</script>",
        '"quoted"',
        "ünï/cødé",
        "%2F",
        "?x=1&y",
        "x" * 200,
        "ד",
        "{a}",
        "{{b}}",
        ".",
        "..",
        "~..",
    ],
)
async def test_ids_are_data_whatever_they_hold(customer_id: str) -> None:
    async with served() as server:
        for fact, arrived_at in facts("grant gift 1\nsubscription team seats ana"):
            server.worker.shared.fold([msgspec.structs.replace(fact, customer_id=customer_id)], arrived_at)
        held = await server.get(f"/v1/customers/{segment(customer_id)}/balances")
        assert [row["balance"] for row in held["data"]] == ["1", "0"]
        [row] = (await server.get("/v1/customers"))["data"]
        assert row["customer_id"] == customer_id


# --- sheets ----------------------------------------------------------------------------------------------------------


async def test_lines_as_a_sheet(server: Server) -> None:
    status, headers, text = await server.raw(
        "GET", f"{ACME}/ledger?seat_id=ana&limit=1", headers={"Accept": "text/csv"}
    )
    rows = list(csv.DictReader(io.StringIO(text)))

    assert status == 200 and headers["Content-Type"].startswith("text/csv")
    assert [(row["type"], row["amount"], row["cause_type"]) for row in rows] == [
        ("granted", "20", "contract-change"),
    ]
    assert 'rel="next"' in headers["Link"] and "event_time" in headers["Seatstream-As-Of"]


async def test_a_formula_in_a_sheet_is_text() -> None:
    async with served() as server:
        for fact, arrived_at in facts("grant =1+1 10\nburn 1 at 01-02 id @SUM"):
            server.worker.shared.fold([fact], arrived_at)
        _, _, text = await server.raw("GET", f"{ACME}/ledger", headers={"Accept": "text/csv"})
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["grant_id"] for row in rows] == ["'=1+1", "'=1+1"]
        assert [row["amount"] for row in rows] == ["10", "-1"]
        assert rows[1]["cause_id"] == "'@SUM"


async def test_what_we_cannot_write_is_406(server: Server) -> None:
    for path, kind in ((f"{ACME}/ledger", "image/png"), (f"{ACME}/balances", "text/csv")):
        status, _, _ = await server.raw("GET", path, headers={"Accept": kind})
        assert status == 406


async def test_what_lay_between_burns_that_have_become_one_is_gone_and_the_answer_says_what_to_ask(
    server: Server,
) -> None:
    partition = server.worker.shared.all[server.worker.shared.of("acme")]
    for number, time in enumerate(("2026-01-16T10:00:00Z", "2026-01-16T11:00:00Z")):
        burn = CreditBurn(
            id=f"m{number}", customer_id="acme", time=instant(time), contract_id="c-1", seat_id="ana", amount=UNIT
        )
        partition.fold(burn, burn.time)
    grow_old(server)

    for query in (
        "balances?at=2026-01-16T10:30:00Z",
        "ledger?from=2026-01-16T10:30:00Z",
        "ledger?to=2026-01-16T10:30:00Z",
        "history/balance?seat_id=ana&from=2026-01-16T10:30:00Z&to=2026-01-18T00:00:00Z&every=P1D",
    ):
        problem = await server.get(f"{ACME}/{query}", status=410)
        assert problem["code"] == "too_long_ago" and problem["field"] in ("at", "from", "to")
        assert "ask for 2026-01-16T00:00:00Z or 2026-01-17T00:00:00Z" in problem["detail"]
    held = await server.get(f"{ACME}/balances?seat_id=ana&at=2026-01-17T00:00:00Z")
    assert held["data"][0]["balance"] == "16.75"
    lines = (await server.get(f"{ACME}/ledger?seat_id=ana"))["data"]
    assert [line["cause"] for line in lines if line["type"] == "burned"] == [{"type": "credit-burns", "id": "m1"}]


async def test_what_lay_before_the_end_of_a_contract_that_ended_long_ago_is_gone_and_its_ledger_begins_there(
    server: Server,
) -> None:
    partition = server.worker.shared.all[server.worker.shared.of("acme")]
    for fact, arrived_at in facts("contract old from 2025-01-01 until 2025-03-01\nburn 1 by ana at 2025-01-05"):
        partition.fold(msgspec.structs.replace(fact, id=f"old-{fact.id}"), arrived_at)
    grow_old(server)

    for query in ("balances?at=2025-02-01T00:00:00Z", "ledger?from=2025-02-01T00:00:00Z"):
        problem = await server.get(f"{ACME}/{query}", status=410)
        assert problem["code"] == "too_long_ago" and "ask for 2025-03-01T00:00:00Z or later" in problem["detail"]
    lines = (await server.get(f"{ACME}/ledger"))["data"]
    assert min(line["time"] for line in lines) == "2026-01-01T00:00:00Z"
    status, _, _ = await server.raw("GET", f"{ACME[3:]}?at=2025-02-01T00:00:00")
    assert status == 410


async def test_grants_that_were_over_before_what_is_kept_are_not_told_with_those_of_a_span(server: Server) -> None:
    """What was carried of them followed from burns that are not there any more."""
    partition = server.worker.shared.all[server.worker.shared.of("acme")]
    story = """
        contract old from 2025-01-01 until 2025-03-01
        subscription team seats ana
        grant own 50 to seat ana
        burn 4 by ana at 2025-01-05
        move ana to di carrying at 2025-01-10
    """
    for fact, arrived_at in facts(story):
        partition.fold(msgspec.structs.replace(fact, id=f"old-{fact.id}"), arrived_at)
    span = "active_from=2025-01-01T00:00:00Z&active_to=2026-03-01T00:00:00Z"
    (di,) = (await server.get(f"{ACME}/balances?seat_id=di&contract_id=old&{span}"))["data"]
    assert [grant["amount"] for grant in di["grants"]] == ["46"]

    grow_old(server)

    (di,) = (await server.get(f"{ACME}/balances?seat_id=di&contract_id=old&{span}"))["data"]
    assert di["grants"] == []


async def test_what_is_too_long_ago_is_judged_by_the_credit_type_that_is_asked_for(server: Server) -> None:
    """Tokens were burned once on that day, credits twice: those became one."""
    partition = server.worker.shared.all[server.worker.shared.of("acme")]
    for number, (time, credit_type) in enumerate((("10", "credits"), ("11", "credits"), ("10", "tokens"))):
        burn = CreditBurn(
            id=f"m{number}", customer_id="acme", time=instant(f"2026-01-16T{time}:00:00Z"), contract_id="c-1",
            seat_id="ana", credit_type=credit_type, amount=UNIT,
        )  # fmt: skip
        partition.fold(burn, burn.time)
    grow_old(server)

    between = "2026-01-16T10:30:00Z"
    assert (await server.get(f"{ACME}/balances?at={between}", status=410))["code"] == "too_long_ago"
    await server.get(f"{ACME}/balances?at={between}&credit_type=credits", status=410)
    held = await server.get(f"{ACME}/balances?at={between}&credit_type=tokens")
    assert [(row["scope"], row["overage"]) for row in held["data"] if "seat_id" in row["scope"]] == [
        ({"seat_id": "ana"}, "1")
    ]
    lines = await server.get(f"{ACME}/ledger?to={between}&credit_type=tokens")
    assert [line["cause"]["id"] for line in lines["data"]] == ["m2"]
    await server.get(f"{ACME}/ledger?from={between}&credit_type=credits", status=410)
    status, _, _ = await server.raw("GET", f"/customers/acme/seats/ana?at={between}&credit_type=tokens")
    assert status == 200
    status, _, _ = await server.raw("GET", f"/customers/acme/seats/ana?at={between}")
    assert status == 410


def grow_old(server: Server) -> None:
    """All burns age, and what they were is gone."""
    partition = server.worker.shared.all[server.worker.shared.of("acme")]
    partition.ledger.come_to(instant("2029-01-01T00:00:00Z"), 0)
    gone, _ = partition.ledger.age(100)
    partition.ledger.flush()
    for low, high in gone:
        for key, _ in list(partition.rows.scan("trail", low, high)):
            partition.rows.delete("trail", key)
