"""Ids as segments of a path.

Whoever sends an address takes the segments `.` and `..` out of it before, encoded or not. So in a path these two ids have a `~`
before them, and so has every id that this could be taken for; all others are what they are.
"""

import re
from typing import Final
from urllib.parse import quote

_DOTS: Final = re.compile(r"~*\.\.?")


def segment(id: str) -> str:
    """An id as it is written in a path."""
    return quote(f"~{id}" if _DOTS.fullmatch(id) else id, safe="")


def id_of(segment: str) -> str:
    """The id that a segment, decoded, means."""
    return segment.removeprefix("~") if _DOTS.fullmatch(segment) else segment
