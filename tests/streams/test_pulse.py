"""A worker knows of itself how long its group may still count on it."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest

from streams import pulse
from streams.pulse import Pulse


class Coordinator:
    """Answers with `error_code`; `now` passes while it does."""

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock
        self.error_code = 0
        self.takes = 0.0

    async def _send_req(self, request: Any) -> Any:
        self.clock[0] += self.takes
        if isinstance(request, OffsetCommitRequest):
            return SimpleNamespace(topics=[("burns", [(0, 0), (1, self.error_code)])])
        return SimpleNamespace(error_code=self.error_code)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr(pulse, "now", lambda: clock[0])
    return clock


HEARTBEAT = HeartbeatRequest("g", 1, "m")
COMMIT = OffsetCommitRequest("g", 1, "m", -1, [])


async def test_it_is_fresh_for_a_session_after_a_heartbeat_was_sent(clock: list[float]) -> None:
    """Sent, not answered: the group cannot have heard of it earlier."""
    felt, coordinator = Pulse(6.0), Coordinator(clock)
    felt.watch(coordinator)
    assert not felt.is_fresh()

    coordinator.takes = 4.0
    await coordinator._send_req(HEARTBEAT)
    assert felt.is_fresh()
    clock[0] = 106.0
    assert not felt.is_fresh()


async def test_joining_counts_as_one(clock: list[float]) -> None:
    felt, coordinator = Pulse(6.0), Coordinator(clock)
    felt.watch(coordinator)
    await coordinator._send_req(SyncGroupRequest("g", 1, "m", None, []))
    assert felt.is_fresh()


@pytest.mark.parametrize(("error_code", "is_fresh"), [(0, True), (27, True), (16, True), (25, False), (22, False)])
async def test_what_the_group_answers(clock: list[float], error_code: int, is_fresh: bool) -> None:
    """27: it rebalances, 16: ask another broker; 25 and 22: it goes on without us."""
    felt, coordinator = Pulse(6.0), Coordinator(clock)
    felt.watch(coordinator)
    await coordinator._send_req(HEARTBEAT)
    coordinator.error_code = error_code
    clock[0] = 104.0
    await coordinator._send_req(HEARTBEAT)
    assert felt.is_fresh() == is_fresh
    clock[0] = 107.0
    assert felt.is_fresh() == (error_code == 0)


@pytest.mark.parametrize(("error_code", "is_fresh"), [(0, True), (27, True), (25, False), (22, False)])
async def test_who_cannot_say_how_far_it_is_learns_that_it_is_out(
    clock: list[float], error_code: int, is_fresh: bool
) -> None:
    felt, coordinator = Pulse(6.0), Coordinator(clock)
    felt.watch(coordinator)
    await coordinator._send_req(HEARTBEAT)
    coordinator.error_code = error_code
    clock[0] = 104.0
    await coordinator._send_req(COMMIT)
    assert felt.is_fresh() == is_fresh
    clock[0] = 106.0
    # That it could say so is no sign of life: nobody is thrown out by the time of a commit.
    assert not felt.is_fresh()


async def test_what_else_is_asked_says_nothing(clock: list[float]) -> None:
    felt, coordinator = Pulse(6.0), Coordinator(clock)
    felt.watch(coordinator)
    await coordinator._send_req("an offset")
    assert not felt.is_fresh()
