"""Passing a request on to the worker that knows the answer: once, with a bounded wait."""

from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from web.problems import RETRY_S, Problem

#: Says that a request was passed on already. Whoever gets it answers for what is there, and passes nothing on.
PASSED: Final = "Seatstream-Passed"
#: Which partitions an answer that was gathered is about.
PARTITIONS: Final = "Seatstream-Partitions"

CONNECT_S: Final = 1.0
#: The other worker gives up before us, so that its reason arrives.
ANSWER_S: Final = 12.0
#: How much longer writing may take than its own time-out.
MARGIN_S: Final = 2.0

#: Not from which site it came: that was looked at, and another worker's address is another site's.
_ASKED: Final = ("Authorization", "X-Api-Key", "Cookie", "Accept", "Content-Type")
_ANSWERED: Final = ("Content-Type", "Retry-After", "Link", "Location", "Content-Disposition", PARTITIONS)


class Passer:
    """One pool of connections to the other workers."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def pass_on(
        self, request: web.Request, url: str, *, path: str | None = None, body: bytes | None = None, wait_s: float = 0
    ) -> web.Response:
        """What the worker at `url` answers to the same request, or to the same on another path."""
        if PASSED in request.headers:
            raise Problem(
                503, "moving", "the customer's partition is moving between workers; ask again", retry_after_s=RETRY_S
            )
        headers = {name: request.headers[name] for name in _ASKED if name in request.headers} | {PASSED: "1"}
        if body is None and request.can_read_body:
            body = await request.read()
        limits = aiohttp.ClientTimeout(total=max(ANSWER_S, wait_s + MARGIN_S), connect=CONNECT_S)
        try:
            async with self._open().request(
                request.method,
                # As it was written: an id may hold a slash.
                URL(url.rstrip("/") + (path or request.raw_path), encoded=True),
                headers=headers,
                data=body,
                timeout=limits,
                allow_redirects=False,
            ) as answer:
                kept = {name: answer.headers[name] for name in _ANSWERED if name in answer.headers}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
        except (aiohttp.ClientError, TimeoutError) as error:
            why = "did not answer in time" if isinstance(error, TimeoutError) else "cannot be reached"
            raise Problem(
                503, "unreachable", f"the worker that folds this customer's partition {why}", retry_after_s=RETRY_S
            ) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=256), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session
