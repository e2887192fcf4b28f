"""The view: pages for people, rendered here from the same questions that the HTTP answers."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from ledger import instants
from ledger.instants import FOREVER, ORIGIN, SECOND, Instant
from web import looks, openapi
from web.api import Api, any_id, customer_of, read_so_far
from web.asked import CustomerLive, CustomerPage, Customers, FindPage, SeatLive, SeatPage, SignInPage, picked, read
from web.charts import share
from web.cluster import Cluster, Elsewhere, Plain, View
from web.letting_in import COOKIE, caller, over_tls, secret_of
from web.operating import Operating
from web.problems import Problem
from web.segments import id_of, segment
from web.tokens import Tokens
from web.watched import MOST_SUBJECTS

HERE: Final = Path(__file__).parent
STATIC: Final = {"style.css": "text/css", "live.js": "text/javascript"}
#: Whether a page would show something else is looked for so often, and for so long until the browser asks again.
LOOK_S: Final = 1.0
LIVE_S: Final = 25.0
#: Less often where all who look would take more than this part of the time.
LOOKING: Final = 0.1
#: So many pages are told at once; those of others come again by themselves.
MOST_LIVE: Final = 200
#: And the operator's page is made anew so often.
OPERATOR_S: Final = 5.0
SESSION_S: Final = 12 * 3600
#: For whom nobody looks: their pages are fetched anew now and then.
_COME_AGAIN: Final = "retry: 5000\n\nevent: changed\ndata: later\n\n"

_WORDS: Final = {
    "granted": "given", "adjusted": "adjusted", "lapsed": "lapsed", "lifted": "lifted", "forfeited": "forfeited",
    "burned": "burned", "overage": "went over", "debt_paid": "debt paid", "debt_forgiven": "debt forgiven",
    "expired": "expired", "voided": "voided", "restored": "given back", "moved_out": "moved out", "moved_in": "moved in",
    "comes": "the seat is assigned", "leaves": "the seat is taken away",
}  # fmt: skip


class Pages:
    """The handlers of the view."""

    def __init__(self, cluster: Cluster, api: Api, tokens: Tokens | None) -> None:
        self._cluster = cluster
        self._api = api
        self._tokens = tokens
        self._operating = Operating(cluster, api)
        self._jinja = _environment()
        self._ending = asyncio.Event()
        #: How many pages are told what changes.
        self._told_live = 0
        self._sign_in_style = (HERE / "static" / "sign_in.css").read_text()

    def routes(self) -> Iterable[web.RouteDef]:
        yield web.get("/", self.find)
        yield web.get(any_id("/customers/{customer_id}"), self.customer)
        yield web.get(any_id("/customers/{customer_id}/live"), self.customer_live)
        yield web.get(any_id("/customers/{customer_id}/seats/{seat_id}"), self.seat)
        yield web.get(any_id("/customers/{customer_id}/seats/{seat_id}/live"), self.seat_live)
        yield web.get("/operator", self.operator)
        yield web.get("/operator/live", self.operator_live)
        yield from self._operating.routes()
        yield web.get("/docs", self.docs)
        yield web.get("/sign-in", self.sign_in)
        yield web.post("/sign-in", self.signed_in)
        yield web.post("/sign-out", self.signed_out)
        for name in STATIC:
            yield web.get(f"/static/{name}", partial(_static, name))

    # --- about customers ---

    async def find(self, request: web.Request) -> web.Response:
        asked = read(request.query, FindPage)
        held, _ = await self._api.gather(request, Customers(search=asked.search, cursor=asked.cursor, limit=100))
        first, following = _ways({"search": asked.search}, asked.cursor, held["next_cursor"])
        return self._page(
            request,
            "find.html",
            rows=held["data"],
            search=asked.search,
            first=first,
            next=following,
            as_of=held["as_of"],
        )

    async def customer(self, request: web.Request) -> web.StreamResponse:
        customer_id, asked = customer_of(request), read(request.query, CustomerPage)
        held = await self._look(request, lambda view: looks.of_customer(view, customer_id, asked))
        if isinstance(held, web.Response):
            return held
        live = _live(request, asked.at, looks.mark(held))
        kept = {"at": asked.at, "search": asked.search, "sort": asked.sort}
        first, following = _ways(kept, asked.cursor, held.pop("cursor"))
        return self._page(
            request,
            "customer.html",
            customer_id=customer_id,
            search=asked.search,
            sort=asked.sort or "id",
            asked_at=picked(asked.at),
            first=first,
            next=following,
            live=live,
            **held,
        )

    async def seat(self, request: web.Request) -> web.StreamResponse:
        customer_id, asked = customer_of(request), read(request.query, SeatPage)
        seat_id = id_of(request.match_info["seat_id"])
        held = await self._look(request, lambda view: looks.of_seat(view, customer_id, seat_id, asked))
        if isinstance(held, web.Response):
            return held
        return self._page(
            request,
            "seat.html",
            customer_id=customer_id,
            seat_id=seat_id,
            credit_type=asked.credit_type,
            asked_at=picked(asked.at),
            live=_live(request, asked.at, looks.mark(held)),
            **held,
        )

    async def _look(self, request: web.Request, question: Any) -> Plain | web.Response:
        """What a question answers here, or the whole page as the worker says it that knows."""
        place = self._cluster.owner(customer_of(request))
        if isinstance(place, Elsewhere):
            return await self._api.passer.pass_on(request, place.url)

        def look(view: View) -> Plain:
            held: Plain = question(view)
            return held | {"as_of": read_so_far(view.as_of)}

        found: Plain = await self._api.ask(place, look)
        return found

    async def customer_live(self, request: web.Request) -> web.StreamResponse:
        customer_id, asked = customer_of(request), read(request.query, CustomerLive)
        return await self._live(request, asked.seen, lambda view: looks.of_customer(view, customer_id, asked))

    async def seat_live(self, request: web.Request) -> web.StreamResponse:
        customer_id, asked = customer_of(request), read(request.query, SeatLive)
        seat_id = id_of(request.match_info["seat_id"])
        return await self._live(
            request, asked.seen, lambda view: looks.of_seat(view, customer_id, seat_id, asked, drawn=False)
        )

    async def _live(self, request: web.Request, seen: str, question: Callable[[View], Plain]) -> web.StreamResponse:
        """Server-sent events: a word whenever a page would show something else than was seen, by a fact or by time alone."""
        # Whoever is asked for pages must have hands left for them.
        if self._told_live >= MOST_LIVE:
            return web.Response(text=_COME_AGAIN, content_type="text/event-stream")
        self._told_live += 1
        try:
            place = self._cluster.owner(customer_of(request))
            if isinstance(place, Elsewhere):
                return await self._api.passer.pass_on_stream(request, place.url, LIVE_S, self._ending)
            return await self._tell(request, request.headers.get("Last-Event-ID") or seen, question)
        finally:
            self._told_live -= 1

    async def _tell(self, request: web.Request, seen: str, question: Callable[[View], Plain]) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        until = time.monotonic() + LIVE_S
        while (begun := time.monotonic()) < until:
            place = self._cluster.owner(customer_of(request))
            try:
                if isinstance(place, Elsewhere):
                    break
                mark = await self._api.ask(place, lambda view: looks.mark(question(view)))
            except Problem:
                if stream.prepared:
                    break
                raise
            if not stream.prepared:
                await stream.prepare(request)
                await stream.write(b"retry: 1000\n\n")
            if mark != (seen or mark):
                await stream.write(f"event: changed\nid: {mark}\ndata: {mark}\n\n".encode())
            seen = mark
            took = time.monotonic() - begun
            await self._pause(min(max(LOOK_S, took * self._told_live / LOOKING), LIVE_S))
            if self._ending.is_set() or request.transport is None or request.transport.is_closing():
                break
        return stream

    async def _pause(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), pause_s)

    async def end(self, _: web.Application) -> None:
        """Ends all streams: a worker that is to stop waits for no open page."""
        self._ending.set()

    # --- about the house ---

    async def operator(self, request: web.Request) -> web.Response:
        caller(request).check_sees_all()
        held = await self._operating.everywhere(request)
        return self._page(request, "operator.html", live="/operator/live", **held)

    async def operator_live(self, request: web.Request) -> web.StreamResponse:
        """Rates are never the same twice: a word now and then."""
        caller(request).check_sees_all()
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b"retry: 1000\n\n")
        for _ in range(int(LIVE_S / OPERATOR_S)):
            await self._pause(OPERATOR_S)
            if self._ending.is_set():
                break
            await stream.write(b"event: changed\ndata: later\n\n")
        return stream

    async def docs(self, request: web.Request) -> web.Response:
        return self._page(request, "docs.html", **openapi.document())

    def problem(self, request: web.Request, problem: Problem) -> web.Response:
        """A problem as a page, for those who came with a browser; whoever has no token is shown where to give one."""
        if problem.status == 401:
            to = "?" + urlencode({"to": request.raw_path}) if request.raw_path != "/" else ""
            return web.Response(status=303, headers={"Location": f"/sign-in{to}"})
        plain = problem.plain()
        response = self._page(request, "problem.html", title=plain["title"], detail=plain["detail"])
        response.set_status(problem.status)
        response.headers.update(problem.headers)
        return response

    # --- letting in ---

    async def sign_in(self, request: web.Request) -> web.Response:
        return self._sign_in(read(request.query, SignInPage).to)

    async def signed_in(self, request: web.Request) -> web.Response:
        form = await request.post()
        to, secret = str(form.get("to", "/")), str(form.get("token", "")).strip()
        if self._tokens is None or self._tokens.find(secret) is None:
            return self._sign_in(to, wrong="This token does not count.", status=401)
        response = web.Response(status=303, headers={"Location": _own(to)})
        response.set_cookie(
            COOKIE, secret, max_age=SESSION_S, path="/", httponly=True, samesite="Strict", secure=over_tls(request)
        )
        return response

    async def signed_out(self, _: web.Request) -> web.Response:
        response = web.Response(status=303, headers={"Location": "/sign-in"})
        response.del_cookie(COOKIE, path="/")
        return response

    def _sign_in(self, to: str, wrong: str = "", status: int = 200) -> web.Response:
        """It brings its own style, so that nothing else has to be open."""
        style = self._sign_in_style
        digest = b64encode(sha256(style.encode()).digest()).decode()
        page = self._jinja.get_template("sign_in.html").render(to=_own(to), wrong=wrong, style=style)
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self'; base-uri 'none'"
        return web.Response(
            status=status,
            text=page,
            content_type="text/html",
            headers={"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"},
        )

    def _page(self, request: web.Request, template: str, **shown: Any) -> web.Response:
        shown = {"live": "", "as_of": None, "signed_in": secret_of(request) is not None} | shown
        page = self._jinja.get_template(template).render(shown)
        return web.Response(text=page, content_type="text/html", charset="utf-8")


async def _static(name: str, _: web.Request) -> web.Response:
    return web.Response(
        body=(HERE / "static" / name).read_bytes(),
        content_type=STATIC[name],
        headers={"Cache-Control": "private, max-age=60"},
    )


def _own(to: str) -> str:
    """Only a place of ours: somebody else's page must not be where a sign-in leads."""
    return to if to.startswith("/") and not to.startswith(("//", "/\\")) and "\n" not in to and "\r" not in to else "/"


def _ways(kept: Mapping[str, str], cursor: str | None, following: str | None) -> tuple[str, str]:
    """The queries of a list's first page, where this is another one, and of the next, where there is one."""
    first = "" if cursor is None else _query(kept) or "search="
    return first, "" if following is None else _query({**kept, "cursor": following})


def _live(request: web.Request, at: str, mark: str) -> str:
    """What is shown as of an instant does not change; what is of now, does."""
    return "" if at else f"{request.rel_url.raw_path}/live?{urlencode([*request.query.items(), ('seen', mark)])}"


# --- how it is written -----------------------------------------------------------------------------------------------


def _environment() -> Environment:
    jinja = Environment(
        loader=PackageLoader("web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Callable[..., Any]] = {
        "path": segment,
        "query": _query,
        "moment": _moment,
        "instant": lambda at: "" if at is None else _moment(_text(at)),
        "local": lambda at: _text(at)[:19],
        "words": lambda kind: _WORDS.get(kind, kind),
        "takes": _takes,
        "count": lambda number: "" if number is None else f"{number:,.0f}",
        "rate": lambda number: "" if number is None else f"{number:,.0f}" if number >= 10 else f"{number:.1f}",
        "ms": lambda number: "" if number is None else f"{number:,.0f} ms",
    }
    jinja.filters.update(filters)
    jinja.globals |= {"share": share, "most_subjects": MOST_SUBJECTS}
    return jinja


def _query(held: Mapping[str, Any]) -> str:
    return urlencode({name: value for name, value in held.items() if value})


def _text(at: Instant) -> str:
    return instants.text(at // SECOND * SECOND) if ORIGIN < at < FOREVER else ""


def _moment(written: str | None) -> str:
    """An instant for people: in UTC, to the second; one that never comes is "never"."""
    return "never" if written is None else f"{written[:10]} {written[11:19]}"


def _takes(schema: Mapping[str, Any]) -> str:
    """What a parameter takes, in a few words."""
    if schema.get("type") == "array":
        return f"several: {_takes(schema['items'])}"
    said = [schema.get("format") or schema.get("type") or ""]
    if "minimum" in schema or "maximum" in schema:
        said.append(f"from {schema.get('minimum', '')} to {schema.get('maximum', '')}")
    if "pattern" in schema and schema.get("type") == "string":
        said.append(schema["pattern"])
    if schema.get("default") not in (None, ""):
        said.append(f"{schema['default']} unless said")
    return ", ".join(said)
