"""Long work leaves the event loop to others, and ends as if it had been alone."""

import asyncio
from contextlib import suppress
from functools import partial

import pytest

from ledger.rows import Breathe
from streams.breathing import in_breaths


async def test_others_run_in_between() -> None:
    seen: list[str] = []

    def work(breathe: Breathe) -> str:
        for step in range(3):
            seen.append(f"step {step}")
            deep(breathe, 20)
        return "done"

    async def other() -> None:
        while True:
            seen.append("other")
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    assert await in_breaths(work, breath_s=-1) == "done"
    beside.cancel()
    assert seen == ["step 0", "other", "step 1", "other", "step 2", "other"]


async def test_others_may_have_several_rounds() -> None:
    """As many as a question takes from its first byte to its answer, so that it waits for one breath and not for each."""
    seen: list[str] = []

    def work(breathe: Breathe) -> None:
        for _ in range(2):
            seen.append("breath")
            breathe()

    async def other() -> None:
        while True:
            seen.append(".")
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    await in_breaths(work, breath_s=-1, rounds=3)
    await in_breaths(work, breath_s=-1, rounds=3, turns=asyncio.Lock())
    beside.cancel()
    assert "".join(seen).replace("breath", "|") == "|...|...|...|..."


async def test_what_is_short_goes_through_at_once() -> None:
    others = asyncio.ensure_future(asyncio.sleep(0))

    await in_breaths(lambda breathe: deep(breathe, 1), breath_s=60)

    assert not others.done()


async def test_what_it_raises_is_raised() -> None:
    def work(breathe: Breathe) -> None:
        breathe()
        raise LookupError("no such row")

    with pytest.raises(LookupError, match="no such row"):
        await in_breaths(work, breath_s=-1)


async def test_cancelled_it_ends_where_it_is() -> None:
    seen: list[str] = []

    def work(breathe: Breathe) -> None:
        try:
            seen.append("begun")
            breathe()
            seen.append("went on")
        finally:
            seen.append("ended")

    task = asyncio.ensure_future(in_breaths(work, breath_s=-1))
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert task.cancelled()
    assert seen == ["begun", "ended"]


async def test_several_take_turns() -> None:
    seen: list[str] = []

    def work_of(name: str, breathe: Breathe) -> None:
        for _ in range(2):
            seen.append(name)
            breathe()

    await asyncio.gather(*(in_breaths(partial(work_of, name), breath_s=-1) for name in "ab"))

    assert seen == ["a", "b", "a", "b"]


async def test_those_that_share_turns_breathe_one_after_the_other() -> None:
    """Others run between any two of them."""
    seen: list[str] = []
    turns = asyncio.Lock()

    def work_of(name: str, breathe: Breathe) -> str:
        for _ in range(3):
            seen.append(name)
            breathe()
        return name

    async def other() -> None:
        while True:
            seen.append(".")
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    working = (in_breaths(partial(work_of, name), breath_s=-1, turns=turns) for name in "abc")
    assert await asyncio.gather(*working) == ["a", "b", "c"]
    beside.cancel()

    told = "".join(seen)
    assert [told.count(name) for name in "abc"] == [3, 3, 3]
    assert not any(first + second in told for first in "abc" for second in "abc"), told
    # Nobody has two turns while somebody waits for one.
    assert told.replace(".", "")[:6] == "abcabc"


async def test_who_is_cancelled_before_its_turn_never_begins() -> None:
    turns = asyncio.Lock()
    begun: list[str] = []
    async with turns:
        task = asyncio.ensure_future(in_breaths(lambda _: begun.append("begun"), turns=turns))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert task.cancelled() and not begun and not turns.locked()


def deep(breathe: Breathe, calls: int) -> None:
    if calls:
        deep(breathe, calls - 1)
    else:
        breathe()
