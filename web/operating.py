"""How the house does: every partition as its own worker sees it, what each worker did of late, and what was refused."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from web.api import Api
from web.cluster import Cluster, Elsewhere, Figures, PartitionNow, Plain
from web.letting_in import caller
from web.problems import Problem

#: Where a worker tells the others of itself.
HERE: Final = "/operator/here"
#: So long another worker may take; then the page goes without it.
PATIENCE_S: Final = 3.0


class Told(msgspec.Struct, kw_only=True):
    """What a worker tells of itself: its own partitions, and those that nobody has as far as it knows."""

    partitions: list[PartitionNow]
    figures: Figures | None
    why_not_ready: str | None


class Operating:
    """The figures of the operator's page."""

    def __init__(self, cluster: Cluster, api: Api) -> None:
        self._cluster = cluster
        self._api = api

    def routes(self) -> Iterable[web.RouteDef]:
        yield web.get(HERE, self.here)

    async def here(self, request: web.Request) -> web.Response:
        caller(request).check_sees_all()
        return web.Response(body=msgspec.json.encode(self._told()), content_type="application/json")

    def _told(self) -> Told:
        return Told(
            partitions=list(self._cluster.overview()),
            figures=self._cluster.figures(),
            why_not_ready=self._cluster.ready(),
        )

    async def everywhere(self, request: web.Request) -> Plain:
        """All that there is to show, from all workers that answer."""
        ours = self._told()
        urls = sorted({place.url for place in self._cluster.owners() if isinstance(place, Elsewhere)})
        answers = await asyncio.gather(*(self._ask(request, url) for url in urls))
        told = {"this one": ours} | dict(zip(urls, answers, strict=True))
        partitions = {now.partition: now for now in ours.partitions}
        for answer in answers:
            # Its own partitions each knows best.
            partitions |= {now.partition: now for now in answer.partitions if now.state not in ("elsewhere", "nobody")}
        workers = [_worker(name, one) for name, one in told.items()]
        known = [one.figures for one in told.values() if one.figures is not None]
        return {
            "partitions": [partitions[number] for number in sorted(partitions)],
            "workers": workers,
            "together": _rates(known),
            "refusals": _refusals(known),
            "why_not_ready": ours.why_not_ready,
        }

    async def _ask(self, request: web.Request, url: str) -> Told:
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await self._api.passer.pass_on(request, url, path=HERE)
            if answer.status == 200:
                return msgspec.json.decode(answer.body, type=Told)  # type: ignore[arg-type]
            why = f"answered {answer.status}"
        except (Problem, TimeoutError):
            why = "does not answer"
        return Told(partitions=[], figures=None, why_not_ready=why)


def _worker(name: str, told: Told) -> Plain:
    ours = [now for now in told.partitions if now.state in ("folding", "recovering", "standing still")]
    shown: dict[str, Any] = {
        "where": name,
        "why_not_ready": told.why_not_ready,
        "partitions": len(ours),
        "lag": sum(now.lag for now in ours),
    }
    return shown | _rates([] if told.figures is None else [told.figures])


def _rates(figures: list[Figures]) -> Plain:
    within: Counter[float] = Counter()
    for one in figures:
        within.update(one.within)
    events = sum(one.events for one in figures)
    return {
        "per_s": sum(one.facts / one.seconds for one in figures if one.seconds > 0) if figures else None,
        "p50_ms": quantile(within, events, 0.5),
        "p99_ms": quantile(within, events, 0.99),
        "refused": sum(sum(one.refusals.values()) for one in figures) if figures else None,
    }


def _refusals(figures: list[Figures]) -> list[tuple[str, int, int]]:
    """By code: of late, and since each worker started; the most frequent first."""
    late: Counter[str] = Counter()
    ever: Counter[str] = Counter()
    for one in figures:
        late.update(one.refusals)
        ever.update(one.refusals_ever)
    return [(code, late[code], count) for code, count in sorted(ever.items(), key=lambda item: (-item[1], item[0]))]


def quantile(within: Mapping[float, int], events: int, share: float) -> float | None:
    """The time in ms within which that share of the events was committed, as Prometheus reckons it: evenly between two bounds;
    beyond the last one, that."""
    if not events:
        return None
    below, counted = 0.0, 0
    for bound, count in sorted(within.items()):
        if count >= share * events:
            return 1000 * (below + (bound - below) * (share * events - counted) / (count - counted))
        below, counted = bound, count
    return 1000 * below


__all__ = ["HERE", "Operating", "Told", "quantile"]
