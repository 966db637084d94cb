"""The status page in a real browser, in the states that an operator meets: what it says, that it loads nothing from
elsewhere, and that axe finds nothing. Screenshots lie below tests/.cache/page/ for people to look at."""

import json
import os
import random
import shutil
import threading
import time
from types import SimpleNamespace

import pytest
from conftest import need
from harness import place
from harness.documents import body, document
from harness.load import Load
from harness.process import wait_until
from test_status import get, status_of

SHOTS = place.CACHE / "page"
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FORMS = [("wide", WIDE, "light"), ("wide", WIDE, "dark"), ("narrow", NARROW, "light"), ("narrow", NARROW, "dark")]
# Those that axe looks at, and the suite. PAGE_FORMS=all makes screenshots of all.
CHECKED = [FORMS[0], FORMS[3]]
REJECTS = [
    b'{"userSessionId":"geheim","startTime" 17}',
    b'{"userSessionId":"geheim","userActions":[{"name":"geheim',
    b"<html><body>502 Geheim</body></html>",
    b'{"userSessionId":"geheim"} {"userSessionId":"geheim"}',
]


class Watched:
    """One page of the browser, and all that it does wrong."""

    def __init__(self, context, origin):
        self.page, self.wrong = context.new_page(), []
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.wrong.append(said.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        outside = lambda request: request.url.startswith(origin) or self.wrong.append(f"asks for {request.url}")
        self.page.on("request", outside)
        self.page.set_viewport_size(WIDE)
        self.page.goto(f"{origin}/")

    def text(self, selector="main"):
        return self.page.inner_text(selector)

    def awaits(self, selector, text, timeout_s=30):
        self.page.wait_for_function(
            "([where, text]) => document.querySelector(where).innerText.includes(text)",
            arg=[selector, text],
            timeout=timeout_s * 1000,
        )

    def looked_at(self, state, axe):
        """Screenshots in all forms. Nothing is wider than the page, axe finds nothing, the console is silent."""
        for name, size, scheme in FORMS if os.environ.get("PAGE_FORMS") == "all" else CHECKED:
            self.page.emulate_media(color_scheme=scheme)
            self.page.set_viewport_size(size)
            self.page.wait_for_timeout(250)
            self.page.screenshot(path=SHOTS / f"{state}-{name}-{scheme}.png", full_page=True)
            wide = self.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= size["width"], f"{state}, {name}: {wide} pixels wide"
            if (name, size, scheme) in CHECKED:
                found = axe.run(self.page).response["violations"]
                assert not found, f"{state}, {name}, {scheme}: {json.dumps(found, indent=1)[:4000]}"
        assert not self.wrong, f"{state}: {self.wrong}"


@pytest.fixture(scope="module")
def browser():
    need("browser")
    from playwright.sync_api import sync_playwright

    shutil.rmtree(SHOTS, ignore_errors=True)
    SHOTS.mkdir(parents=True)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe():
    need("browser")
    from axe_playwright_python.sync_playwright import Axe

    return Axe()


def test_sessions_and_rejects_are_seen_as_they_come(browser, axe, make_server, local_lake):
    server = make_server(local_lake, "--roll-age", "2s", "--status-listen", "127.0.0.1:0").start()
    origin = status_of(server)
    page = Watched(browser.new_context(), origin)
    page.awaits("#sentence", "no sessions have come in since the start")
    assert "None." in page.text("#rejects") and page.page.is_hidden("#trouble")
    load = Load(server, 0.5, threads=2).start()
    try:
        page.awaits("#sentence", "Receiving")
        page.awaits("#rolls", "committed")
        page.page.wait_for_timeout(6000)
        page.looked_at("healthy", axe)

        # Rejects are seen by an event, without their values.
        reports = []
        page.page.on("request", lambda request: "status.json" in request.url and reports.append(request.url))
        assert server.put(body("a") + b"\n".join(REJECTS) + b"\n").status == 200
        page.awaits("#samples", "expected ':' after the field name")
        page.awaits("#rejects", "not_json")
        assert "»" in page.text("#samples") and "userSessionId" in page.text("#samples")
        assert "geheim" not in page.page.content().lower()
        assert server.put(document("u", brandNew=7, userActions=[{"name": "n", "other": "x"}])).status == 200
        assert server.put(body("a"), content_type="text/html").status == 415
        page.awaits("#unknown", "/brandNew")
        page.awaits("#refused", "media_type")
        page.looked_at("rejects", axe)

        # Every chart is a table too, and the keyboard stays where it is while figures change.
        page.page.set_viewport_size(WIDE)
        for summary in page.page.query_selector_all("#charts summary"):
            summary.focus()
            page.page.keyboard.press("Enter")
        assert len(page.page.query_selector_all("#charts table tbody tr")) >= 4
        page.page.wait_for_timeout(2500)
        assert page.page.evaluate("document.activeElement.tagName") == "SUMMARY", "it lost the focus"
        page.page.focus("#hours24")
        page.page.keyboard.press("Space")
        assert page.page.get_attribute("#hours24", "aria-pressed") == "true"
        # With events, the whole report is asked for seldom.
        assert len(reports) <= 6, reports

        blind = browser.new_context()
        blind.add_init_script("window.EventSource = class { addEventListener() {} close() {} readyState = 1 }")
        polling, asked = Watched(blind, origin), []
        polling.page.on("request", lambda request: asked.append(request.url))
        polling.awaits("#sentence", "Receiving")
        wait_until(lambda: polling.page.wait_for_timeout(300) or len(asked) > 2, 20, "it asks again")
        assert not polling.wrong and all("status.json" in url for url in asked), asked
    finally:
        load.stop()
    queries = {query["engine"]: query["text"] for query in json.loads(get(f"{origin}/status.json")[2])["queries"]}
    assert str(local_lake.at.uri) in queries["duckdb"] and queries["duckdb"] in page.page.text_content("#queries")
    import duckdb

    assert len(duckdb.sql(queries["duckdb"]).fetchall()) == 10
    assert not page.wrong


def test_trouble_is_said_with_what_to_do(browser, axe, make_server, folder):
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "geheim"}
    away = SimpleNamespace(at=SimpleNamespace(uri="s3://bucket/lake", env={**nowhere, "AWS_ALLOW_HTTP": "true"}))
    flags = ["--roll-age", "1s", "--status-listen", "127.0.0.1:0", "--journal-quota", "96MiB", "--journal-segment", "4MiB", "--inflated-limit", "32MiB"]
    server = make_server(away, *flags, "--drain-delay", "0s").start()
    origin = status_of(server)
    assert server.put(body("a", "b")).status == 200
    page = Watched(browser.new_context(), origin)
    page.awaits("#trouble", "Trouble: lake")
    assert "since" in page.text("#trouble") and "trouble since" in page.text("#sentence")
    page.looked_at("away", axe)

    stop = threading.Event()

    def fill():
        size, number = 1_000_000, 0
        while not stop.is_set() and size > 1000:
            number += 1
            if server.put(document(f"s{number}", big=random.randbytes(size).hex())).status != 200:
                size //= 4
            time.sleep(0.1)

    filling = threading.Thread(target=fill, daemon=True)
    filling.start()
    page.awaits("#sentence", "the journal is full in", 60)
    page.awaits("#way", "full in")
    page.looked_at("filling", axe)
    filling.join(60)
    page.awaits("#sentence", "Takes no sessions", 60)
    page.looked_at("full", axe)
    stop.set()

    assert "geheim" not in page.page.content()
    server.process.signal(15)
    page.awaits("#sentence", "Stopping")
    page.looked_at("draining", axe)
    server.process.kill()
    page.awaits("#sentence", "No answer", 30)
    page.page.screenshot(path=SHOTS / "gone-wide-light.png", full_page=True)
