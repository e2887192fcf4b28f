"""Passing a request on to the worker that knows the answer: once, with a bounded wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
#: More than the streams that are passed on (web/pages.py), so that questions find one too.
MOST_CONNECTIONS: Final = 512
#: How often somebody looks whether the caller of a stream is still there.
LOOK_S: Final = 1.0
#: How much longer writing may take than its own time-out.
MARGIN_S: Final = 2.0

#: Not from which site it came: that was looked at, and another worker's address is another site's.
_ASKED: Final = ("Authorization", "X-Api-Key", "Cookie", "Accept", "Content-Type", "Last-Event-ID")
_ANSWERED: Final = ("Content-Type", "Retry-After", "Link", "Location", "Content-Disposition", PARTITIONS)


class Passer:
    """One pool of connections to the other workers."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def pass_on(
        self, request: web.Request, url: str, *, path: str | None = None, body: bytes | None = None, wait_s: float = 0
    ) -> web.Response:
        """What the worker at `url` answers to the same request, or to the same on another path."""
        if body is None and request.can_read_body:
            body = await request.read()
        async with self._asked(request, url, max(ANSWER_S, wait_s + MARGIN_S), path, body) as answer:
            return await _whole(answer)

    async def pass_on_stream(
        self, request: web.Request, url: str, stream_s: float, ending: asyncio.Event
    ) -> web.StreamResponse:
        """What the worker at `url` says to the same request, as it comes: until either worker ends it, or the caller goes."""
        async with self._asked(request, url, stream_s + MARGIN_S) as answer:
            if answer.status != 200:
                return await _whole(answer)
            stream = web.StreamResponse(headers=_kept(answer))
            await stream.prepare(request)
            # Where the other worker goes, the stream is over, and whoever listened comes again.
            with suppress(aiohttp.ClientError, TimeoutError):
                async for said in _as_it_comes(answer.content, request, ending):
                    await stream.write(said)
            return stream

    @asynccontextmanager
    async def _asked(
        self, request: web.Request, url: str, total_s: float, path: str | None = None, body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if PASSED in request.headers:
            raise Problem(
                503, "moving", "the customer's partition is moving between workers; ask again", retry_after_s=RETRY_S
            )
        headers = {name: request.headers[name] for name in _ASKED if name in request.headers} | {PASSED: "1"}
        try:
            async with self._open().request(
                request.method,
                # As it was written: an id may hold a slash.
                URL(url.rstrip("/") + (path or request.raw_path), encoded=True),
                headers=headers,
                data=body,
                timeout=aiohttp.ClientTimeout(total=total_s, connect=CONNECT_S),
                allow_redirects=False,
            ) as answer:
                yield answer
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
                connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


async def _whole(answer: aiohttp.ClientResponse) -> web.Response:
    return web.Response(status=answer.status, body=await answer.read(), headers=_kept(answer))


def _kept(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: answer.headers[name] for name in _ANSWERED if name in answer.headers}


async def _as_it_comes(
    content: aiohttp.StreamReader, request: web.Request, ending: asyncio.Event
) -> AsyncIterator[bytes]:
    """What is said, until nothing more comes. Nobody says that the caller went, so that it is looked for."""
    ended, coming = asyncio.ensure_future(ending.wait()), asyncio.ensure_future(content.readany())
    try:
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.wait({ended, coming}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return
            if coming.done():
                if not (said := coming.result()):
                    return
                yield said
                coming = asyncio.ensure_future(content.readany())
    finally:
        ended.cancel()
        coming.cancel()
