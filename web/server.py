"""The server: every path behind one door, and whatever goes wrong said as a problem."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from web import openapi
from web.api import Api
from web.cluster import Cluster
from web.facts import Facts
from web.letting_in import letting_in
from web.pages import Pages
from web.passing import Passer
from web.problems import Problem
from web.tokens import Tokens

log = logging.getLogger(__name__)

#: The most that a body may hold: a thousand facts, some of them long.
MOST_BYTES: Final = 32 << 20
#: A question may name a hundred seats, each with a long id in a foreign script.
MOST_LINE_BYTES: Final = 512 << 10
#: A request that takes longer is ended, whatever it waits for: its own body, say.
REQUEST_S: Final = 40.0
#: So many are answered at once; more come again.
MOST_AT_ONCE: Final = 500

#: Sent with every answer.
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With none at all a browser would hide from us, too, that a form is our own.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def build(cluster: Cluster, tokens: Tokens | None) -> web.Application:
    """All of the HTTP over a cluster."""
    passer = Passer()
    api = Api(cluster, passer)
    pages = Pages(cluster, api, tokens)
    middlewares = [problems_said(pages), letting_in(tokens), bounded()]
    app = web.Application(middlewares=middlewares, client_max_size=MOST_BYTES)
    app.add_routes(api.routes())
    app.add_routes(Facts(api).routes())
    app.add_routes(pages.routes())
    app.add_routes(openapi.routes())
    app.add_routes(_about_itself(cluster))
    app.on_response_prepare.append(_with_headers)
    app.on_shutdown.append(pages.end)
    app.on_cleanup.append(lambda _: passer.close())
    return app


def runner(app: web.Application) -> web.AppRunner:
    """What serves an application. Nothing is said of single requests: metrics count them."""
    return web.AppRunner(app, access_log=None, max_line_size=MOST_LINE_BYTES, max_field_size=MOST_LINE_BYTES)


def _about_itself(cluster: Cluster) -> Iterable[web.RouteDef]:
    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        why_not = cluster.ready()
        return web.Response(status=200 if why_not is None else 503, text=f"{why_not or 'ready'}\n")

    async def metrics(_: web.Request) -> web.Response:
        body, content_type = cluster.metrics()
        return web.Response(body=body, headers={"Content-Type": content_type})

    yield web.get("/healthz", healthz)
    yield web.get("/readyz", readyz)
    yield web.get("/metrics", metrics)


async def _with_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    # aiohttp's own names its version.
    response.headers["Server"] = "SeatStream"


def problems_said(pages: Pages) -> Middleware:
    """Whatever goes wrong is said: as a problem object, or as a page to a browser that asks for one."""

    @web.middleware
    async def say_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await _answered(request, handler)
        except Problem as problem:
            wants_page = not request.path.startswith("/v1/") and "text/html" in request.headers.get("Accept", "")
            return pages.problem(request, problem) if wants_page else problem.response()

    return say_problems


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The answer, or the problem that it is to have none."""
    try:
        async with asyncio.timeout(REQUEST_S):
            return await handler(request)
    except Problem:
        raise
    except ConnectionResetError:
        # Whoever asked and went away gets no answer, and that is nobody's mistake.
        return web.Response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        raise _of_aiohttp(error) from None
    except TimeoutError:
        raise Problem(503, "too_long", "this took too long and was given up", retry_after_s=1) from None
    except Exception as error:
        # Whoever asks learns no more than that; the log has the rest.
        log.exception("%s %s failed", request.method, request.path)
        raise Problem(500, "our_mistake", "this should not have happened; the worker's log has more") from error


def _of_aiohttp(error: web.HTTPException) -> Problem:
    match error:
        case web.HTTPNotFound():
            return Problem(404, "no_such_path", "there is no such path; /openapi.json has those that there are")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return Problem(405, "no_such_method", f"this path takes {allowed}", headers={"Allow": allowed})
        case web.HTTPRequestEntityTooLarge():
            return Problem(413, "too_large", f"the body has more than {MOST_BYTES:,} bytes")
    return Problem(error.status, "not_possible", error.reason)


def bounded() -> Middleware:
    """At most so many at once: who waits behind them would wait too long."""
    busy = 0

    @web.middleware
    async def take_turns(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal busy
        if busy >= MOST_AT_ONCE:
            raise Problem(503, "busy", "too many questions at once", retry_after_s=1)
        busy += 1
        try:
            return await handler(request)
        finally:
            busy -= 1

    return take_turns
