"""The paths of the HTTP: what each is asked, answers, and is called. The OpenAPI document is written from this table."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import islice
from typing import Any, Final, Literal
from urllib.parse import urlencode

import msgspec
import orjson
from aiohttp import web

from web import accounts, agreed, asked, cursors, shapes, watched
from web.cluster import AsOf, Away, Cluster, Elsewhere, Here, Nobody, Plain, View
from web.letting_in import caller
from web.passing import PARTITIONS, PASSED, Passer
from web.problems import Problem
from web.segments import id_of
from web.sheets import sheet
from wire import answers

#: An answer that takes longer is given up.
ANSWER_S: Final = 10.0
NAME_LENGTH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One path. `answer` computes it from the rows of the customer's partition; where it is None, the handler is its own."""

    path: str
    name: str
    summary: str
    asks: type[asked.Asked]
    answers: type[msgspec.Struct]
    answer: Callable[[View, str, Any], Plain] | None = None
    #: The shape of a row, where the rows also come as CSV.
    sheet: type[msgspec.Struct] | None = None
    method: Literal["GET", "POST"] = "GET"


_CUSTOMER: Final = "/v1/customers/{customer_id}"

CUSTOMERS: Final = Path(
    path="/v1/customers",
    name="list_customers",
    summary="Customers known to the cluster, by id",
    asks=asked.Customers,
    answers=shapes.Customers,
)
ABOUT_A_CUSTOMER: Final = (
    Path(
        path=_CUSTOMER,
        name="get_customer",
        summary="A customer's contracts with their subscriptions, and what the pools have",
        asks=asked.Customer,
        answers=shapes.Customer,
        answer=agreed.customer,
    ),
    Path(
        path=f"{_CUSTOMER}/seats",
        name="list_seats",
        summary="Who holds a seat",
        asks=asked.Seats,
        answers=shapes.Seats,
        answer=agreed.seats,
    ),
    Path(
        path=f"{_CUSTOMER}/balances",
        name="list_balances",
        summary="What each seat and each pool has, with what is left of each grant, at any instant",
        asks=asked.Balances,
        answers=shapes.Balances,
        answer=accounts.balances,
    ),
    Path(
        path=f"{_CUSTOMER}/ledger",
        name="list_ledger",
        summary="The lines of the account: what, how much, which grant paid, and why",
        asks=asked.Ledger,
        answers=shapes.Ledger,
        answer=accounts.ledger,
        sheet=shapes.Entry,
    ),
    Path(
        path=f"{_CUSTOMER}/history/seats",
        name="list_seat_history",
        summary="How many seats there were when, who came and who left; what is scheduled too",
        asks=asked.SeatHistory,
        answers=shapes.SeatHistory,
        answer=agreed.seat_history,
        sheet=shapes.Segment,
    ),
    Path(
        path=f"{_CUSTOMER}/history/balance",
        name="list_balance_history",
        summary="The balance of a seat or a pool over time",
        asks=asked.BalanceHistory,
        answers=shapes.BalanceHistory,
        answer=accounts.balance_history,
        sheet=shapes.Point,
    ),
    Path(
        path=f"{_CUSTOMER}/available",
        name="get_available",
        summary="May this seat spend so much now, and what would pay",
        asks=asked.Available,
        answers=shapes.Available,
        answer=accounts.available,
    ),
    Path(
        path=f"{_CUSTOMER}/alerts",
        name="list_alerts",
        summary="The state of every rule for every subject, with value and level",
        asks=asked.Alerts,
        answers=shapes.Alerts,
        answer=watched.alerts,
    ),
)
FACTS_PATH: Final = Path(
    path="/v1/facts/{topic}",
    name="publish_facts",
    summary="Publishes a fact, an array of facts or one a line, waits until they are folded, and says what became of each",
    asks=asked.Publish,
    answers=shapes.Outcomes,
    method="POST",
)
PATHS: Final = (CUSTOMERS, *ABOUT_A_CUSTOMER, FACTS_PATH)


class Api:
    """The handlers of these paths over a cluster."""

    def __init__(self, cluster: Cluster, passer: Passer) -> None:
        self.cluster = cluster
        self.passer = passer

    def routes(self) -> Iterable[web.RouteDef]:
        yield web.get(CUSTOMERS.path, self.customers, name=CUSTOMERS.name)
        for path in ABOUT_A_CUSTOMER:
            yield web.get(any_id(path.path), partial(self.about_a_customer, path), name=path.name)

    # --- one customer ---

    async def about_a_customer(self, path: Path, request: web.Request) -> web.StreamResponse:
        customer_id = customer_of(request)
        question = asked.read(request.query, path.asks)
        assert path.answer is not None
        answer = path.answer
        wants_sheet = _wants_sheet(request, path)
        place = self.cluster.owner(customer_id)
        if isinstance(place, Elsewhere):
            return await self.passer.pass_on(request, place.url)
        held, as_of = await self.ask(place, lambda view: (answer(view, customer_id, question), view.as_of))
        if wants_sheet and path.sheet is not None:
            return _as_sheet(request, held, path.sheet, as_of)
        return json(held | {"as_of": read_so_far(as_of)})

    async def ask(self, place: Here | Nobody, question: Callable[[View], Any]) -> Any:
        """What a question answers here, in time and while the partition is ours."""
        if isinstance(place, Nobody):
            raise away(place)
        try:
            return await self.cluster.ask(place.partition, question, ANSWER_S)
        except Away as left:
            raise away(left.nobody) from None
        except TimeoutError:
            raise Problem(
                503, "too_long", f"the answer would take longer than {ANSWER_S:.0f} s; ask for less"
            ) from None

    # --- all customers ---

    async def customers(self, request: web.Request) -> web.Response:
        held, partitions = await self.gather(request, asked.read(request.query, asked.Customers))
        return json(held, {PARTITIONS: ",".join(map(str, partitions))})

    async def gather(self, request: web.Request, question: asked.Customers) -> tuple[Plain, list[int]]:
        """From all workers; where it was passed on, from the partitions that are here. Says which these are."""
        behind = None if question.cursor is None else cursors.read("customers", question.cursor, str)
        allowed = caller(request).may_see
        places = self.cluster.owners()
        here = [place for place in places if isinstance(place, Here)]
        parts: list[list[Plain]] = []
        reads: list[Plain] = []
        more = False
        if PASSED not in request.headers:
            urls = sorted({place.url for place in places if isinstance(place, Elsewhere)})
            for place in places:
                if isinstance(place, Nobody):
                    raise away(place)
            path = f"{CUSTOMERS.path}?{_query(question)}"
            answered = await asyncio.gather(*(self.passer.pass_on(request, url, path=path) for url in urls))
            self._check_whole(here, answered)
            for answer in answered:
                page = orjson.loads(answer.body)  # type: ignore[arg-type]
                parts.append(page["data"])
                reads.append(page["as_of"])
                more = more or page["next_cursor"] is not None
        for place in here:
            rows, as_of = await self.ask(
                place, lambda view: (agreed.customers(view, question, behind, allowed), view.as_of)
            )
            parts.append(rows)
            reads.append(read_so_far(as_of))
        found = list(islice(merge(*parts, key=_by_id), question.limit + 1))
        data = found[: question.limit]
        more = bool(data) and (more or len(found) > question.limit)
        cursor = cursors.write("customers", data[-1]["customer_id"]) if more else None
        held = {"data": data, "next_cursor": cursor, "as_of": together(reads)}
        return held, [place.partition for place in here]

    def _check_whole(self, here: list[Here], answered: list[web.Response]) -> None:
        """A partition that moved meanwhile would be told by nobody, or by two."""
        told = [place.partition for place in here]
        for answer in answered:
            if answer.status != 200:
                raise Problem(503, "moving", "another worker cannot answer for its customers now", retry_after_s=1)
            told += [int(number) for number in answer.headers.get(PARTITIONS, "").split(",") if number]
        if sorted(told) != list(range(self.cluster.partitions)):
            raise Problem(503, "moving", "partitions are moving between workers; ask again", retry_after_s=1)


def _query(question: asked.Customers) -> str:
    named = {"limit": question.limit, "cursor": question.cursor, "search": question.search}
    return urlencode({name: value for name, value in named.items() if value})


def _by_id(row: Plain) -> str:
    return str(row["customer_id"])


def together(reads: list[Plain]) -> Plain:
    """How far the partitions were read altogether: as far as the one that is furthest behind."""
    times = [read["event_time"] for read in reads]
    return {
        "event_time": None if None in times else min(times, default=None),
        "offsets": {name: offset for read in reads for name, offset in read["offsets"].items()},
        "lag": sum(read["lag"] for read in reads),
        "behind_ms": max((read["behind_ms"] for read in reads), default=0),
    }


def any_id(path: str) -> str:
    """A path as the router takes it: an id may hold whatever it likes, braces too."""
    return path.replace("_id}", "_id:[^/]+}")


def away(nobody: Nobody) -> Problem:
    return Problem(503, "not_here", nobody.reason, retry_after_s=nobody.retry_after_s)


def customer_of(request: web.Request) -> str:
    customer_id = id_of(request.match_info["customer_id"])
    if len(customer_id) > NAME_LENGTH:
        raise Problem(404, "unknown_customer", f"an id has at most {NAME_LENGTH} characters", field="customer_id")
    caller(request).check_sees(customer_id)
    return customer_id


# --- how it is written -----------------------------------------------------------------------------------------------


def read_so_far(as_of: AsOf) -> Plain:
    return {
        "event_time": answers.instant(as_of.event_time),
        "offsets": dict(as_of.offsets),
        "lag": as_of.lag,
        "behind_ms": as_of.behind_ms,
    }


def json(held: Plain, headers: dict[str, str] | None = None, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(held), content_type="application/json", headers=headers)


def _wants_sheet(request: web.Request, path: Path) -> bool:
    """Whether CSV is asked for. Refuses what we cannot write."""
    wanted = request.headers.get("Accept", "*/*")
    kinds = {part.partition(";")[0].strip().lower() for part in wanted.split(",")}
    if "text/csv" in kinds and path.sheet is not None:
        return True
    if not kinds & {"*/*", "application/*", "application/json", ""}:
        only = "JSON or CSV" if path.sheet is not None else "JSON"
        raise Problem(406, "not_acceptable", f"this path answers {only}", headers={"Vary": "Accept"})
    return False


def _as_sheet(request: web.Request, held: Plain, shape: type[msgspec.Struct], as_of: AsOf) -> web.Response:
    """The rows alone; where they go on and how far was read is in the headers."""
    headers = {"Seatstream-As-Of": orjson.dumps(read_so_far(as_of)).decode(), "Vary": "Accept"}
    if held["next_cursor"] is not None:
        following = request.rel_url.update_query(cursor=held["next_cursor"])
        headers["Link"] = f'<{following}>; rel="next"'
    return web.Response(text=sheet(held["data"], shape), content_type="text/csv", charset="utf-8", headers=headers)
