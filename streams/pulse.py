"""Whether this worker is still in its group, as far as it can know by itself.

Whoever was silent for the session time-out has lost its partitions, and does not know it where it was paused itself. So the time
counts from before the last request that the group's coordinator answered well: it cannot have heard of us earlier.
"""

import time
from typing import Any, Final

from aiokafka.errors import IllegalGenerationError, UnknownMemberIdError
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
#: What a coordinator answers to somebody who is no longer one of the group.
_GONE: Final = (UnknownMemberIdError.errno, IllegalGenerationError.errno)


def now() -> float:
    """Seconds of a clock that also counts while the machine sleeps, where there is one."""
    return time.clock_gettime(_CLOCK)


class Pulse:
    """The last sign of life that the group is known to have had of us. Told on the consumer's thread, asked on any other."""

    def __init__(self, session_s: float) -> None:
        self._session_s = session_s
        self._heard_at: float | None = None

    def heard(self, sent_at: float) -> None:
        """A sign that was sent at this time was answered well."""
        self._heard_at = sent_at

    def gone(self) -> None:
        """The group goes on without us."""
        self._heard_at = None

    def is_fresh(self) -> bool:
        """Nobody else can have our partitions yet."""
        return self._heard_at is not None and now() - self._heard_at < self._session_s

    def watch(self, coordinator: Any) -> None:
        """Listens to what this consumer's coordinator is asked, and to what it answers."""
        send = coordinator._send_req

        async def send_and_hear(request: Any) -> Any:
            sent_at = now()
            answer = await send(request)
            if isinstance(request, HeartbeatRequest | SyncGroupRequest):
                if answer.error_code == 0:
                    self.heard(sent_at)
                elif answer.error_code in _GONE:
                    self.gone()
            # Whoever hears it so sends no heartbeat any more that could hear it.
            elif isinstance(request, OffsetCommitRequest) and any(
                code in _GONE for _, partitions in answer.topics for _, code in partitions
            ):
                self.gone()
            return answer

        coordinator._send_req = send_and_hear
