"""Where a page ended, as text that a caller hands back: ids, never a count, so that no row is skipped."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, TypeVar

import msgspec

from web.problems import unfit

T = TypeVar("T")


def write(kind: str, place: Any) -> str:
    """`kind` says for which list the place is."""
    return urlsafe_b64encode(msgspec.json.encode((kind, place))).decode().rstrip("=")


def read(kind: str, cursor: str, place: type[T]) -> T:
    """The place that a cursor names. Raises the problem of one that we never wrote."""
    try:
        held = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        its_kind, found = msgspec.json.decode(held, type=tuple[str, msgspec.Raw])
        if its_kind == kind:
            return msgspec.json.decode(found, type=place)
    except (ValueError, msgspec.DecodeError):
        raise unfit("cursor", "is none of ours; give `next_cursor` as it was answered") from None
    raise unfit("cursor", f"is of another list ({its_kind[:40]}); give one that this list answered")
