"""The README's picture of the view: a seat of a company that nobody knows, as a real browser shows it.

`make picture` makes it anew; the test fails where the page would look otherwise by now than the picture that is there.
"""

import math
import os
import struct
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from ledger import instants
from ledger.facts import Topic
from ledger.instants import DAY, HOUR, MINUTE, Instant
from tests.web.cluster import InThread
from tests.web.test_browser import as_it_was, browser, complaints, seen_as, text
from wire.codec import Unreadable, read

ROOT: Final = Path(__file__).parents[2]
PICTURE: Final = ROOT / "docs/view.png"
MOST_BYTES: Final = 150_000
SIZE: Final = (1040, 1000)
WHO, SEAT = "northwind-robotics", "ana.silva@northwind.example"
BEGUN: Final = instants.instant("2026-05-01T00:00:00Z")
NOW: Final = instants.instant("2026-06-24T16:40:00Z")

__all__ = ["as_it_was", "browser"]

pytestmark = pytest.mark.heavy


def test_the_picture_in_the_readme_is_how_the_view_looks(browser: Chrome) -> None:
    with InThread(partitions=1) as server:
        server.do(lambda: tell(server))
        seen_as(browser, SIZE, "light")
        browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        browser.get(f"{server.url}/customers/{WHO}/seats/{SEAT}")
        shown = text(browser)

        # Two months of 400, the second nearly used up, and a pool for whoever runs out.
        assert f"{SEAT}\n" in shown and "Given\n450" in shown
        assert "Running low" in shown and "In alarm now" in shown and "Over\n" in shown
        assert "monthly #1" in shown and "welcome" in shown
        chart = browser.find_element(By.CSS_SELECTOR, "svg.chart")
        assert chart.accessible_name.endswith("Somebody is warned at: Running low: 100.")
        assert chart.find_elements(By.CSS_SELECTOR, ".level") and chart.find_elements(By.CSS_SELECTOR, ".event")
        assert browser.execute_script("return document.documentElement.scrollWidth") == SIZE[0]
        assert complaints(browser) == []

        mark = of_page(browser)
        if os.environ.get("SEATSTREAM_TEST_PICTURE"):
            PICTURE.write_bytes(marked(browser.get_screenshot_as_png(), mark))
    kept = dict(chunks(PICTURE.read_bytes()))
    assert len(PICTURE.read_bytes()) < MOST_BYTES
    assert struct.unpack(">II", kept[b"IHDR"][:8]) == SIZE
    assert kept[b"tEXt"] == b"page\0" + mark, "the page looks otherwise than docs/view.png: `make picture`"
    assert "](docs/view.png)" in (ROOT / "README.md").read_text()


def of_page(browser: Chrome) -> bytes:
    """What decides how the page looks: what stands there, and the style. Not the browser, whose letters are its own."""
    written = str(browser.execute_script("return document.body.innerHTML"))
    return sha256(written.encode() + (ROOT / "web/static/style.css").read_bytes()).hexdigest().encode()


# --- what happened there ---------------------------------------------------------------------------------------------


def tell(server: InThread) -> None:
    partition = server.shared.all[0]
    told = sorted(story(), key=lambda each: each[0])
    is_watched = False
    for at, topic, said in told:
        fact = read(topic, None, orjson.dumps({"customer_id": WHO, "time": instants.text(at)} | said))
        assert not isinstance(fact, Unreadable), fact
        partition.fold(fact, at)
        if not is_watched:
            partition.watch(
                {"rule_id": "low", "name": "Running low", "metric": "balance", "scope": "seat", "levels": ["100"]}
            )
            is_watched = True
    partition.pass_to(NOW)


def story() -> Iterator[tuple[Instant, Topic, dict[str, Any]]]:
    seats = [{"seat_id": each} for each in (SEAT, "bo.lind@northwind.example", "cy.okafor@northwind.example")]
    yield BEGUN, "contract-change", {
        "id": "k", "type": "contract.created", "contract_id": "team-2026", "name": "Team 2026",
        "subscriptions": [
            {"subscription_id": "editors", "name": "Editors", "mode": "seats", "seat_ids": [each["seat_id"] for each in seats],
             "included_seats": 3}
        ],
        "recurring_credits": [
            {"recurring_credit_id": "monthly", "subscription_id": "editors", "allocation": "individual", "amount": "400",
             "every": "P1M"}
        ],
        "grants": [{"grant_id": "pool", "amount": "2500"}],
    }  # fmt: skip
    yield BEGUN + 40 * DAY, "contract-change", {
        "id": "g", "type": "credits.granted", "contract_id": "team-2026", "seat_id": SEAT, "grant_id": "welcome back",
        "amount": "50", "priority": 50, "expires_at": "2026-06-30T00:00:00Z",
    }  # fmt: skip
    # More on some days than on others, little at weekends: by hand, so that it is the same everywhere.
    for day in range((NOW - BEGUN) // DAY + 1):
        for n in range(1 if day % 7 in (1, 2) else 4):
            amount = round(3.6 + 2.6 * math.sin(day * 1.7 + n) + (day % 5) * 0.55, 2)
            at = BEGUN + day * DAY + (8 + 2 * n) * HOUR + (day * 7 + n * 13) % 60 * MINUTE
            if at < NOW:
                yield at, "credit-burn", {"id": f"run-{day:02}{n}", "seat_id": SEAT, "amount": f"{amount:.2f}"}


# --- pictures --------------------------------------------------------------------------------------------------------


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place < len(png):
        [length] = struct.unpack_from(">I", png, place)
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += 12 + length


def marked(png: bytes, mark: bytes) -> bytes:
    """The picture, with a note of what page it is of."""
    note = b"tEXtpage\0" + mark
    chunk = struct.pack(">I", len(note) - 4) + note + struct.pack(">I", zlib.crc32(note))
    head = 8 + 12 + 13  # the signature and the first chunk
    return png[:head] + chunk + png[head:]
