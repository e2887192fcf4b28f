"""The view in a real browser, Debian's Chromium: a newcomer's walk, on a phone, in the dark, without eyes, with hostile names."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import axe_core_python
import msgspec
import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from ledger.instants import instant
from tests.debian import program
from tests.ledger.language import facts
from tests.web.cluster import InThread
from tests.web.test_api import STORY
from tests.web.test_letting_in import READ, READER, keep
from web.segments import segment
from web.tokens import line_of

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()
PAGES = ("/", "/customers/acme", "/customers/acme/seats/ana", "/operator", "/docs", "/sign-in", "/customers/nobody")
DESK, PHONE = (1280, 900), (375, 740)

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def server() -> Iterator[InThread]:
    with InThread() as server:
        server.fold(facts(STORY))
        acme = server.shared.all[server.shared.of("acme")]
        for level in ("19", "2"):
            rule = {"rule_id": level, "name": f"Below {level}", "metric": "balance", "scope": "seat", "levels": [level]}
            server.do(partial(acme.watch, rule))
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = program("chromium", "chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = ChromeService(program("chromedriver", "chromium-driver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_page_load_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture(autouse=True)
def as_it_was(browser: Chrome) -> None:
    seen_as(browser, DESK, "light")
    browser.get_log("browser")  # type: ignore[no-untyped-call]


def seen_as(browser: Chrome, size: tuple[int, int], scheme: str) -> None:
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def complaints(browser: Chrome) -> list[str]:
    """What the browser says against a page: scripts that fail, and what its policy forbids. A page that says 404 is none."""
    logged = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return [said["message"] for said in logged if "status of 404" not in said["message"]]


def until(what: Callable[[], object], patience_s: float = 10) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        # In the middle of a page's going and the next one's coming there is nothing to look at.
        with suppress(WebDriverException):
            if what():
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def text(browser: Chrome) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def test_a_newcomers_walk(server: InThread, browser: Chrome) -> None:
    """By keyboard: find somebody, see their seats, look at one, as it was then."""
    browser.get(server.url)
    box = browser.switch_to.active_element
    assert box.get_attribute("name") == "search"
    box.send_keys("acm" + Keys.ENTER)
    browser.find_element(By.LINK_TEXT, "acme").send_keys(Keys.ENTER)
    until(lambda: "Contract c-1" in text(browser))
    assert "Included" in text(browser) and "18.75" in text(browser)
    assert "In alarm now" in text(browser) and "Below 19" in text(browser)

    browser.find_element(By.LINK_TEXT, "ana").send_keys(Keys.ENTER)
    until(lambda: "Balance over time" in text(browser))
    assert "Who paid" in text(browser) and "run-1" in text(browser)
    chart = browser.find_element(By.CSS_SELECTOR, "svg.chart")
    assert chart.size["width"] > 600 and chart.accessible_name.startswith("Balance from 2025-12-21 to 2026-01-21")

    browser.execute_script("document.getElementById('at').value = '2026-01-10T00:00:00'")
    browser.find_element(By.CSS_SELECTOR, "form.ask button").click()
    until(lambda: "as of 2026-01-10 00:00:00" in text(browser))
    assert "run-1" not in text(browser)
    browser.find_element(By.LINK_TEXT, "Back to now").click()
    until(lambda: "run-1" in text(browser))
    assert complaints(browser) == []


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_every_page_fits_and_can_be_read(
    server: InThread, browser: Chrome, path: str, scheme: str, size: tuple[int, int]
) -> None:
    """Nothing is wider than the screen, and axe finds nothing: labels, contrast, order."""
    seen_as(browser, size, scheme)
    browser.get(server.url + path)

    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    light = sum(int(part) for part in ground.strip("rgba() ").split(",")[:3]) / 3
    assert light < 80 if scheme == "dark" else light > 200
    browser.execute_script(AXE)
    found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
    assert complaints(browser) == []


def test_a_page_that_shows_now_follows(server: InThread, browser: Chrome) -> None:
    browser.get(f"{server.url}/customers/acme/seats/cy?contract_id=c-1")
    until(lambda: "Left\n20" in text(browser))
    time.sleep(1.5)  # until it listens
    [burn] = [fact for fact, _ in facts("burn 3.5 by cy at 2026-01-21 id live-1") if fact.id == "live-1"]
    server.fold([(msgspec.structs.replace(burn, contract_id="c-1"), burn.time)])

    until(lambda: "Left\n16.5" in text(browser))
    until(lambda: "Updated" in browser.find_element(By.ID, "said").text)
    assert complaints(browser) == []


def test_a_page_that_shows_now_follows_time_alone(browser: Chrome) -> None:
    """Without any fact: an alarm since her month is over in five days, and then the next month. Whoever types is left alone,
    and follows afterwards."""
    with InThread() as server:
        server.fold(facts(STORY))
        acme = server.shared.all[server.shared.of("acme")]
        rule = {"rule_id": "soon", "name": "Ends soon", "metric": "days_to_expiry", "scope": "seat", "levels": ["5"]}
        server.do(partial(acme.watch, rule))
        browser.get(f"{server.url}/customers/acme/seats/ana")
        until(lambda: "Left\n18.75" in text(browser))
        browser.find_element(By.ID, "at").click()
        server.do(partial(acme.pass_to, instant("2026-01-27T12:00:00Z")))
        time.sleep(2.5)
        assert "Ends soon" not in text(browser)
        browser.execute_script("document.activeElement.blur()")
        until(lambda: "Ends soon" in text(browser))

        server.do(partial(acme.pass_to, instant("2026-02-01T00:00:00Z")))
        until(lambda: "Left\n20" in text(browser))
        assert complaints(browser) == []


@pytest.mark.parametrize(
    "name",
    [
        "<script>document.title='owned'</script>",
        "'\"><img src=x onerror=\"document.title='owned'\">",
        "x" * 200,
        "שלום עולם",
        "..",
    ],
)
def test_hostile_names_run_nothing_and_break_nothing(server: InThread, browser: Chrome, name: str) -> None:
    seen_as(browser, PHONE, "light")
    said = [
        (msgspec.structs.replace(fact, customer_id=name), arrived_at)
        for fact, arrived_at in facts("contract c bringing\nsubscription team seats ana\ngrant gift 10 to seat ana")
    ]
    renamed = msgspec.json.encode([fact for fact, _ in said]).replace(b'"ana"', msgspec.json.encode(name))
    whole = msgspec.json.decode(renamed, type=list[type(said[0][0])])  # type: ignore[misc]
    server.fold([(fact, arrived_at) for fact, (_, arrived_at) in zip(whole, said, strict=True)])
    its = segment(name)
    for path in ("/", f"/customers/{its}", f"/customers/{its}/seats/{its}"):
        browser.get(server.url + path)
        assert name in browser.execute_script("return document.body.textContent")
        assert browser.title != "owned"
        assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    assert complaints(browser) == []


def test_signing_in_and_out(browser: Chrome, tmp_path: Path) -> None:
    """With what a browser really sends beside the form."""
    with InThread(tokens=keep(tmp_path / "tokens", line_of(READ))) as server:
        server.fold(facts(STORY))
        browser.get(f"{server.url}/customers/acme?at=2026-01-19T00:00:00")
        assert browser.title.startswith("Sign in")
        browser.switch_to.active_element.send_keys("sst_wrong" + Keys.ENTER)
        until(lambda: "does not count" in text(browser))
        browser.switch_to.active_element.send_keys(READER + Keys.ENTER)
        until(lambda: "as of 2026-01-19 00:00:00" in text(browser))
        [cookie] = browser.get_cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        browser.find_element(By.XPATH, "//button[text()='Sign out']").click()
        until(lambda: browser.title.startswith("Sign in"))
        assert browser.get_cookies() == []


def test_ten_thousand_seats_without_pain(browser: Chrome) -> None:
    with InThread(partitions=1) as server:
        names = " ".join(f"seat-{n:05}" for n in range(10_000))
        server.fold(facts(f"subscription team seats {names}\nrecurring monthly 10 per seat of team every P1M"))
        begun = time.monotonic()
        browser.get(f"{server.url}/customers/acme")
        assert "seat-00049" in text(browser) and time.monotonic() - begun < 10
        browser.find_element(By.LINK_TEXT, "More seats").click()
        until(lambda: "seat-00050" in text(browser))
        browser.find_element(By.ID, "search").send_keys("9999" + Keys.ENTER)
        until(lambda: "seat-09999" in text(browser) and "seat-00050" not in text(browser))
