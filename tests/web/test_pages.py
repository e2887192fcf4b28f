"""The view over real HTTP: what people see is what the ledger says, whatever the names hold."""

import asyncio
import html
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from yarl import URL

from ledger.instants import instant
from tests.ledger.language import facts
from tests.web.cluster import Partition, Server, Stage, served
from tests.web.test_api import STORY
from tests.web.test_letting_in import ACME_ONLY, OF_ACME, READ, READER, keep
from web.asked import picked
from web.charts import share
from web.cluster import Figures
from web.operating import quantile
from web.pages import _own
from web.problems import Problem
from web.segments import segment
from web.tokens import line_of

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
HOSTILE = [
    '<script>alert("x")</script>',
    "'\"><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "a/b?c#d",
    "x" * 200,
    "שלום",
    "..",
    "../..",
    "100%2F +&=;",
    " two  spaces ",
    "\u202egnp.exe",
    "a\nb\tc\x01\x7f",
    "\ufeff\u0000",
]


class Text(HTMLParser):
    """What a reader sees, and what a browser would run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.page = page
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.seen.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.seen))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with served() as running:
        for fact, arrived_at in facts(STORY):
            running.worker.shared.fold([fact], arrived_at)
        yield running


async def page(server: Server, path: str, status: int = 200) -> Text:
    found, _, text = await server.raw("GET", path, headers=BROWSER)
    assert found == status, text
    return Text(text)


async def test_from_the_first_page_to_a_seat(server: Server) -> None:
    found = await page(server, "/?search=AC")
    assert "acme" in found.text and ("a", {"href": "/customers/acme"}) in found.tags

    customer = await page(server, "/customers/acme")
    assert "Contract c-1" in customer.text and "ana 1" not in customer.text
    link = next(
        attrs["href"] for tag, attrs in customer.tags if tag == "a" and "/seats/ana" in (attrs.get("href") or "")
    )
    assert link is not None

    seat = await page(server, link)
    assert "Left 18.75" in seat.text and "Given 20" in seat.text and "Who paid" in seat.text
    assert "burned -1.25 monthly #0 18.75 credit-burn run-1" in seat.text
    # What comes next.
    assert "2026-02-01 00:00:00 expired -18.75 monthly" in seat.text
    assert any(tag == "svg" and "Balance from" in (attrs.get("aria-label") or "") for tag, attrs in seat.tags)


async def test_a_seat_shows_what_the_pools_paid_for_it(server: Server) -> None:
    seat = await page(server, "/customers/acme/seats/bo")
    lines = seat.text.split("Why ")[1]
    # 30 at once: 5 of the gift and 20 of the month were its own; the rest is the pool's.
    for line in ("burned -5 gift 20", "burned -20 monthly #0 0", "burned -5 pooled (the pool)"):
        assert f"2026-01-17 00:00:00 {line} credit-burn run-2" in lines
    assert "run-3" not in lines and "run-1" not in lines


async def test_what_comes_next_for_a_seat() -> None:
    async with served() as server:
        for fact, arrived_at in facts(STORY + "remove bo at 2026-01-25 said 2026-01-20\n"):
            server.worker.shared.fold([fact], arrived_at)
        coming = {}
        for seat_id in ("ana", "bo"):
            found = await page(server, f"/customers/acme/seats/{seat_id}")
            coming[seat_id] = found.text.split("What comes next")[1].split("Ledger")[0]
    assert "2026-01-25 00:00:00 the seat is taken away team" in coming["bo"]
    assert "2026-02-01 00:00:00 expired -18.75 monthly 2026-02-01 00:00:00 given 20 monthly" in coming["ana"]
    assert "taken away" not in coming["ana"]


async def test_what_comes_next_for_a_seat_is_found_without_looking_at_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also that its subscription ends, and that it comes back in another."""
    story = """
        subscription team seats ana bo
        subscription other seats cy
        end team at 2026-02-10 said 2026-01-05
        add ana in other at 2026-02-12 said 2026-01-05
    """
    async with served() as server:
        for fact, arrived_at in facts(story):
            server.worker.shared.fold([fact], arrived_at)
        monkeypatch.setattr("ledger.seats.members", None)
        found = await page(server, "/customers/acme/seats/ana")
        coming = found.text.split("What comes next")[1].split("Ledger")[0]
        assert (
            "2026-02-10 00:00:00 the seat is taken away team 2026-02-12 00:00:00 the seat is assigned other" in coming
        )


async def test_everything_as_of_an_instant(server: Server) -> None:
    then = await page(server, "/customers/acme/seats/ana?at=2026-01-10T00:00")
    assert (
        "as of 2026-01-10 00:00:00" in then.text
        and "Left 20" in then.text
        and "run-1" not in then.text.split("Ledger")[1]
    )
    customer = await page(server, "/customers/acme?at=2026-01-19T00:00:00")
    assert re.search(r"team 4 3 1 3 1", customer.text)
    assert "data-live" not in {name for _, attrs in then.tags for name in attrs}


async def test_seats_are_searched_and_sorted(server: Server) -> None:
    searched = await page(server, "/customers/acme?search=AN")
    assert "ana" in searched.text and " bo " not in searched.text
    least = await page(server, "/customers/acme?sort=left")
    assert least.text.index(" bo ") < least.text.index(" ana ") < least.text.index(" cy ")
    assert "No seat has such an id" in (await page(server, "/customers/acme?search=zz")).text


@pytest.mark.parametrize("sort", ["id", "left"])
async def test_ten_thousand_seats_come_in_pages(sort: str) -> None:
    async with served(partitions=1) as server:
        names = " ".join(f"seat-{n:05}" for n in range(10_000))
        for fact, arrived_at in facts(
            f"subscription team seats {names}\nrecurring monthly 10 per seat of team every P1M"
        ):
            server.worker.shared.fold([fact], arrived_at)
        first = await page(server, f"/customers/acme?sort={sort}")
        assert "seat-00049" in first.text and "seat-00050" not in first.text
        following = next(attrs["href"] for tag, attrs in first.tags if attrs.get("rel") == "next")
        second = await page(server, f"/customers/acme{following}".partition("#")[0])
        assert "seat-00050" in second.text and "seat-00049" not in second.text
        assert not any(attrs.get("rel") == "first" for _, attrs in first.tags)
        back = next(attrs["href"] for _, attrs in second.tags if attrs.get("rel") == "first")
        assert "seat-00049" in (await page(server, f"/customers/acme{back}".partition("#")[0])).text


def href(shown: Text, words: str) -> str:
    """Where the link with these words leads."""
    [found] = re.findall(rf'href="([^"]*)"[^>]*>(?:<bdi>)?{words}<', shown.page)
    return str(html.unescape(found))


async def test_ways_back(server: Server) -> None:
    """From then to now stays with the same seat, contract and search; from a seat to its customer stays with the instant."""
    then = "at=2026-01-19T00:00:00"
    seat = await page(server, f"/customers/acme/seats/ana?contract_id=c-1&credit_type=credits&{then}")
    assert href(seat, "Back to now") == "?contract_id=c-1&credit_type=credits"
    assert href(seat, "acme") == "/customers/acme?at=2026-01-19T00%3A00%3A00"
    customer = await page(server, f"/customers/acme?search=an&sort=left&{then}")
    assert href(customer, "Back to now") == "?search=an&sort=left"
    assert href(await page(server, "/customers/acme/seats/ana"), "acme") == "/customers/acme"


async def test_from_a_later_page_of_customers_to_the_first() -> None:
    async with served() as server:
        for fact, arrived_at in facts("grant gift 1"):
            for n in range(101):
                server.worker.shared.fold([msgspec.structs.replace(fact, customer_id=f"who-{n:03}")], arrived_at)
        second = await page(server, href(await page(server, "/"), "Next page"))
        assert "who-100" in second.text and "who-099" not in second.text
        assert "who-099" in (await page(server, href(second, "First page"))).text


@pytest.mark.parametrize("name", HOSTILE)
async def test_names_are_data(name: str) -> None:
    async with served() as server:
        for fact, arrived_at in facts("grant gift 1 to seat ana\nburn 1 by ana at 01-02 id b"):
            renamed = msgspec.json.decode(
                msgspec.json.encode(fact)
                .replace(b'"ana"', msgspec.json.encode(name))
                .replace(b'"gift"', msgspec.json.encode(name)),
                type=type(fact),
            )
            renamed = msgspec.structs.replace(renamed, customer_id=name)
            server.worker.shared.fold([renamed], arrived_at)
        whole = segment(name)
        for path in ("/", f"/customers/{whole}", f"/customers/{whole}/seats/{whole}?contract_id=c"):
            found = await page(server, path)
            assert name in "".join(found.seen), path
            assert [tag for tag, attrs in found.tags if tag == "script" and "src" not in attrs] == []
            assert not any(key.startswith("on") or key == "style" for _, attrs in found.tags for key in attrs)
            assert "49" not in found.text or name != "{{ 7 * 7 }}"
            assert not any(tag == "img" for tag, _ in found.tags)
            for way in (
                attrs["href"] for tag, attrs in found.tags if tag == "a" and "customers/" in (attrs["href"] or "")
            ):
                assert (await server.raw("GET", str(way)))[0] == 200, way
            for live in (attrs["data-live"] for _, attrs in found.tags if "data-live" in attrs):
                async with server.session.get(URL(f"{server.url}{live}", encoded=True)) as stream:
                    assert (stream.status, await stream.content.readline()) == (200, b"retry: 1000\n")


async def test_what_goes_wrong_is_a_page(server: Server) -> None:
    assert "customer 'nobody' is not known" in (await page(server, "/customers/nobody", 404)).text
    assert "at is no instant" in (await page(server, "/customers/acme?at=soon", 400)).text
    assert "no such path" in (await page(server, "/nothing", 404)).text
    problem = await server.get("/customers/nobody", 404)
    assert problem["code"] == "unknown_customer"


async def test_the_operator_sees_every_partition(server: Server) -> None:
    found = await page(server, "/operator")
    assert found.text.count("folding") == 4 and "This worker is ready" in found.text
    assert "None since the workers started" in found.text
    server.worker.why_not_ready = "partition 3: recovering"
    assert "not ready: partition 3: recovering" in (await page(server, "/operator")).text


async def test_the_operator_sees_what_all_workers_did() -> None:
    async with Stage() as stage:
        first = await stage.serve()
        stage.shared.urls = [first.url, None, first.url, first.url]
        second = await stage.serve()
        first.worker.did = Figures(
            seconds=60.0, facts=6_000, events=90, within={0.1: 90, 1.0: 90}, refusals={}, refusals_ever={"too_late": 2}
        )
        second.worker.did = Figures(
            seconds=30.0, facts=75, events=10, within={0.1: 0, 1.0: 10}, refusals={"too_late": 1},
            refusals_ever={"too_late": 3, "unreadable": 7},
        )  # fmt: skip
        shared = await page(first, "/operator")
        assert (await page(second, "/operator")).text.count("too_late") == 1
        # 6,000 in a minute and 75 in half of one; of 100, 50 in the first 0.1 s, where 90 are, and 99 in the rest up to 1 s.
        assert "Facts a second 102 From append to commit, half of them 56 ms 99 of 100 910 ms" in shared.text
        assert "Refused in the last minute 1" in shared.text
        assert "this one ready 3 0 100 50 ms 99 ms 0" in shared.text
        assert f"{second.url} ready 1 0 2.5 550 ms 991 ms 1" in shared.text
        assert "unreadable 0 7" in shared.text and "too_late 1 5" in shared.text
        assert f"1 folding {second.url}" in shared.text


async def test_the_operator_sees_who_does_not_answer() -> None:
    async with Stage() as stage:
        first = await stage.serve()
        stage.shared.urls[2] = "http://127.0.0.1:1"
        stage.shared.urls[3] = None
        found = await page(first, "/operator")
        assert "http://127.0.0.1:1 does not answer 0" in found.text
        assert (
            "2 elsewhere http://127.0.0.1:1" in found.text
            and "3 nobody: the partition is being taken over" in found.text
        )


@pytest.mark.parametrize(
    ("within", "events", "share", "ms"),
    [
        ({0.1: 0, 1.0: 0}, 0, 0.5, None),
        ({0.1: 5, 1.0: 10}, 10, 0.5, 100),
        ({0.1: 0, 1.0: 8}, 8, 0.5, 550),
        ({0.1: 1, 1.0: 1}, 9, 0.5, 1000),
    ],
)
def test_a_quantile_of_what_was_counted(within: dict[float, int], events: int, share: float, ms: float | None) -> None:
    assert quantile(within, events, share) == (None if ms is None else pytest.approx(ms))


async def test_the_document_can_be_read(server: Server) -> None:
    found = await page(server, "/docs")
    assert "GET /v1/customers/{customer_id}/balances" in found.text and "RFC" not in found.text
    assert "from 1 to 1000" in found.text


async def test_no_page_asks_anybody_else_for_anything(server: Server) -> None:
    for path in ("/", "/customers/acme", "/customers/acme/seats/ana", "/operator", "/docs", "/sign-in"):
        for tag, attrs in (await page(server, path)).tags:
            if tag in ("link", "script", "img", "form"):
                place = attrs.get("href") or attrs.get("src") or attrs.get("action") or ""
                assert not place.startswith(("http", "//")), (path, tag, place)


# --- what changes while a page is open -------------------------------------------------------------------------------


@asynccontextmanager
async def listening(server: Server, path: str, **headers: str) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """What a page that is open is told: each call answers the next change's mark."""
    async with asyncio.timeout(20), server.session.get(f"{server.url}{path}", headers=headers) as stream:
        assert stream.content_type == "text/event-stream"

        async def changed() -> str:
            while (line := await stream.content.readline()) != b"event: changed\n":
                assert line or not stream.content.at_eof()
            return (await stream.content.readline()).decode().removeprefix("id: ").strip()

        assert (await stream.content.readline()).startswith(b"retry")
        yield changed


def partition_of(server: Server) -> Partition:
    return server.worker.shared.all[server.worker.shared.of("acme")]


@pytest.mark.parametrize("path", ["/customers/acme/live", "/customers/acme/seats/ana/live"])
async def test_a_page_hears_of_what_changes(server: Server, path: str) -> None:
    """A late burn, too, that is paid by the seat alone."""
    async with listening(server, path) as changed:
        for fact, arrived_at in facts("burn 1 by ana at 2026-01-15 id late"):
            if type(fact).__name__ == "CreditBurn":
                server.worker.shared.fold([msgspec.structs.replace(fact, contract_id="c-1")], arrived_at)
        assert await changed()


@pytest.mark.parametrize("path", ["/customers/acme/live", "/customers/acme/seats/ana/live"])
async def test_a_page_hears_of_what_time_alone_does(server: Server, path: str) -> None:
    """The seats' month is over, and another begins: no pool has more or less by it."""
    async with listening(server, path) as changed:
        partition_of(server).pass_to(instant("2026-02-01T00:00:00Z"))
        assert await changed()


@pytest.mark.parametrize("path", ["/customers/acme/live", "/customers/acme/seats/ana/live"])
async def test_a_page_hears_of_an_alarm_that_time_alone_makes(server: Server, path: str) -> None:
    rule = {"rule_id": "soon", "name": "Ends soon", "metric": "days_to_expiry", "scope": "seat", "levels": ["5"]}
    partition_of(server).watch(rule)
    before = await server.raw("GET", path.removesuffix("/live"), headers=BROWSER)
    async with listening(server, path) as changed:
        partition_of(server).pass_to(instant("2026-01-27T12:00:00Z"))
        assert await changed()
    after = await server.raw("GET", path.removesuffix("/live"), headers=BROWSER)
    assert "Ends soon" not in before[2] and "Ends soon" in after[2]


@pytest.mark.parametrize("path", ["/customers/acme/live", "/customers/acme/seats/ana/live"])
async def test_a_page_hears_nothing_while_nothing_changes(
    server: Server, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time passes, and others burn."""
    monkeypatch.setattr("web.pages.LOOK_S", 0.01)
    monkeypatch.setattr("web.pages.LIVE_S", 1.0)
    partition = partition_of(server)
    async with server.session.get(f"{server.url}{path}") as stream:
        heard = asyncio.ensure_future(stream.read())
        for second in range(5):
            await asyncio.sleep(0.1)
            partition.pass_to(instant(f"2026-01-20T00:00:1{second}Z"))
        assert await heard == b"retry: 1000\n\n"


@pytest.mark.parametrize("path", ["/customers/acme", "/customers/acme/seats/ana?contract_id=c-1"])
async def test_what_changed_before_a_page_began_to_listen_is_told(server: Server, path: str) -> None:
    _, _, page = await server.raw("GET", path, headers=BROWSER)
    [live] = [attrs["data-live"] for _, attrs in Text(page).tags if "data-live" in attrs]
    assert live is not None
    partition_of(server).pass_to(instant("2026-02-01T00:00:00Z"))
    async with listening(server, live) as changed:
        mark = await changed()
    # Whoever comes again has seen that by now.
    async with listening(server, live, **{"Last-Event-ID": mark}) as changed:
        partition_of(server).pass_to(instant("2026-03-01T00:00:00Z"))
        assert await changed() != mark


@pytest.mark.parametrize("path", ["/customers/acme/live", "/operator/live"])
async def test_who_stops_waits_for_no_open_page(path: str) -> None:
    async with served([fact for fact, _ in facts(STORY)]) as server:
        stream = await server.session.get(f"{server.url}{path}")
        await stream.content.readline()
        begun = time.monotonic()
    assert time.monotonic() - begun < 5


async def test_of_those_who_would_wait_for_changes_some_come_again_instead(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.MOST_LIVE", 1)
    async with listening(server, "/customers/acme/live"):
        status, headers, told = await server.raw("GET", "/customers/acme/live")
        assert status == 200 and headers["Content-Type"].startswith("text/event-stream")
        assert told.startswith("retry: 5000") and "event: changed" in told


# --- signing in ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Server]:
    async with Stage() as stage:
        for fact, arrived_at in facts(STORY):
            stage.shared.fold([fact], arrived_at)
        yield await stage.serve(keep(tmp_path / "tokens", line_of(READ), line_of(OF_ACME)))


async def test_who_has_no_token_is_shown_where_to_give_one(guarded: Server) -> None:
    status, headers, _ = await guarded.raw("GET", "/customers/acme?at=1", headers=BROWSER, allow_redirects=False)
    assert (status, headers["Location"]) == (303, "/sign-in?to=%2Fcustomers%2Facme%3Fat%3D1")
    _, headers, text = await guarded.raw("GET", headers["Location"], headers=BROWSER)
    assert ("input", {"type": "hidden", "name": "to", "value": "/customers/acme?at=1"}) in Text(text).tags
    assert "'sha256-" in headers["Content-Security-Policy"] and "unsafe" not in headers["Content-Security-Policy"]


async def test_signing_in_and_out(guarded: Server) -> None:
    form = {"token": f" {READER} ", "to": "/customers/acme"}
    status, headers, _ = await guarded.raw("POST", "/sign-in", data=form, allow_redirects=False)
    assert (status, headers["Location"]) == (303, "/customers/acme")
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    kept = {**BROWSER, "Cookie": cookie.partition(";")[0]}
    status, _, text = await guarded.raw("GET", "/customers/acme", headers=kept)
    assert status == 200 and "Sign out" in text
    status, headers, _ = await guarded.raw("POST", "/sign-out", headers=kept, allow_redirects=False)
    assert status == 303 and 'seatstream=""' in headers["Set-Cookie"]

    status, _, text = await guarded.raw("POST", "/sign-in", data={"token": "sst_wrong"}, allow_redirects=False)
    assert status == 401 and "does not count" in text and "sst_wrong" not in text


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({}, False),
        ({"X-Forwarded-Proto": "http"}, False),
        ({"X-Forwarded-Proto": "https"}, True),
        ({"X-Forwarded-Proto": "https, http"}, True),
        # A proxy that says nothing: the browser does.
        ({"Host": "seats.example", "Origin": "https://seats.example"}, True),
    ],
)
async def test_what_came_over_tls_goes_back_over_nothing_else(
    guarded: Server, headers: dict[str, str], secure: bool
) -> None:
    """The cookie, whoever ended TLS before us."""
    _, answered, _ = await guarded.raw(
        "POST", "/sign-in", data={"token": READER}, headers=headers, allow_redirects=False
    )
    assert ("Secure" in answered["Set-Cookie"].split("; ")) == secure


async def test_a_page_of_another_site_signs_nobody_in_or_out(guarded: Server) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for path in ("/sign-in", "/sign-out"):
            held = {**headers, "Cookie": f"seatstream={READER}"}
            status, answered, _ = await guarded.raw(
                "POST", path, data={"token": READER}, headers=held, allow_redirects=False
            )
            assert status == 403 and "Set-Cookie" not in answered


@pytest.mark.parametrize("to", ["https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nX: y", "evil"])
def test_a_sign_in_leads_nowhere_else(to: str) -> None:
    assert _own(to) == "/"


async def test_a_token_of_one_customer_sees_its_pages(guarded: Server) -> None:
    kept = {**BROWSER, "Cookie": f"seatstream={ACME_ONLY}"}
    assert (await guarded.raw("GET", "/customers/acme", headers=kept))[0] == 200
    assert (await guarded.raw("GET", "/customers/other", headers=kept))[0] == 403
    assert (await guarded.raw("GET", "/operator", headers=kept))[0] == 403


async def test_pages_come_from_the_worker_that_knows() -> None:
    async with Stage() as stage:
        for fact, arrived_at in facts(STORY):
            stage.shared.fold([fact], arrived_at)
        first = await stage.serve()
        stage.shared.urls = [None] * 4
        second = await stage.serve()
        assert "18.75" in (await page(first, "/customers/acme/seats/ana")).text
        assert "acme" in (await page(first, "/?search=acm")).text
        assert second.url in (await page(first, "/operator")).text


# --- little things ---------------------------------------------------------------------------------------------------


def test_an_instant_as_a_browser_writes_it() -> None:
    for written in ("2026-03-16T09:30", "2026-03-16T09:30:00", "2026-03-16T09:30:00Z", "2026-03-16T10:30:00+01:00"):
        assert picked(written) == 1_773_653_400_000_000
    assert picked("") is None
    with pytest.raises(Problem, match="at is no instant"):
        picked("soon")


@pytest.mark.parametrize(
    ("left", "given", "drawn"), [("5", "20", "25"), ("0", "0", "0"), ("30", "20", "100"), ("0.001", "1", "0.1")]
)
def test_how_wide_a_bar_is(left: str, given: str, drawn: str) -> None:
    assert share(left, given) == drawn
