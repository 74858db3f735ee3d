"""The page /analytics in a real browser: its content and its access; it loads nothing from other hosts."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import wsgi
from cart import create_app, events
from cart.analytics.page import ASSETS, PAGES
from cart.analytics.tally import is_counted
from cart.analytics.totals import Aggregates
from cart.dynamodb.keys import DAYS, TOTALS, row_key
from cart.errors import Unavailable
from tests.support.aggregate_rows import put, put_product
from tests.support.browser import FLAGS, listening
from tests.support.project import ROOT, missing
from tests.support.stores import CUP, Store, make_store
from tests.support.streams import by_ttl, stream_of
from tests.support.tokens import AUDIENCE, ISSUER, RSA_KEY, pem, token

pytestmark = pytest.mark.slow

UPLOT = {  # of `npm pack uplot@1.6.32`: dist/uPlot.iife.min.js, dist/uPlot.min.css and LICENSE
    "uplot.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uplot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
DESK = {"width": 1200, "height": 1000}
PHONE = {"width": 360, "height": 740}
NOON = time(12)
TODAY = datetime.now(UTC).date()
ADDED = {"light": (11, 110, 93), "dark": (79, 186, 163)}  # the colour of the bars in analytics.css
TILES = {"#value-now": "1,234,567.89", "#units-now": "2,044", "#lines-now": "812"}


def fill(store: Store) -> None:
    put(store, row_key(TOTALS, "0#0"), lines=812, units=2044, cents=1_234_567_89)
    for back in range(60):
        flows = {"lines_added": 9, "units_added": 20, "cents_added": 100_00 + back, "lines_removed": 1}
        abandoned = {"lines_abandoned": 3, "cents_abandoned": 25_00} if back % 2 else {}
        put(store, row_key(DAYS, f"{TODAY - timedelta(back)}#0"), **flows, **abandoned)
    for product_id, amounts in {42: (9, 20, 400_00), 7: (5, 30, 300_00), 2**53 - 1: (2, 3, 5_000_000_00)}.items():
        put_product(store, product_id, *amounts)


@pytest.fixture(scope="module")
def filled(moto_url: str) -> Store:
    store = make_store("moto", moto_url)
    fill(store)
    return store


@pytest.fixture(scope="module")
def shop(filled):
    return create_app(filled.config)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("no Chromium is installed (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page of the shop's API below a stage, with its requested URLs and its complaints."""

    page: Page
    url: str
    requested_urls: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def readout(self, name: str) -> str:
        return " ".join(self.page.locator(f".readout:has(#{name}-value)").inner_text().split())


@pytest.fixture
def visit(browser: Browser, tmp_path: Path):
    """Return ``visit(app)``, which opens the page and asserts at its end that no request left the machine."""

    @contextmanager
    def open_page(app, query="", prefix="/dev", theme="light", size=None, quiet=True) -> Iterator[Visit]:
        context = browser.new_context(viewport=size or DESK, color_scheme=theme, locale="en-GB")
        with listening(app, prefix) as url, context as opened:
            opened.clock.set_fixed_time(datetime.combine(TODAY, NOON, UTC))  # whether or not midnight passes
            page_visit = Visit(opened.new_page(), f"{url}{prefix}/analytics")
            page_visit.page.on("request", lambda request: page_visit.requested_urls.append(request.url))
            page_visit.page.on("console", lambda line: page_visit.complaints.append(line.text))
            page_visit.page.on("pageerror", lambda error: page_visit.complaints.append(str(error)))
            page_visit.page.goto(f"{page_visit.url}{query}")
            expect(page_visit.page.locator("#figures")).to_have_attribute("aria-busy", "false")
            yield page_visit
            page_visit.page.screenshot(path=tmp_path / "page.png", full_page=True)
            assert [
                requested_url
                for requested_url in page_visit.requested_urls
                if not requested_url.startswith((f"{url}{prefix}/", "blob:"))
            ] == []
            # a violated policy and each 4xx answer cause a complaint
            assert page_visit.complaints == [] or not quiet

    return open_page


def pixels(page: Page, chart: str, colour: tuple[int, int, int]) -> int:
    """Return how many pixels of a chart have this colour."""
    return page.evaluate(
        """([chart, r, g, b]) => {
            const canvas = document.querySelector(`${chart} canvas`);
            const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
            copy.drawImage(canvas, 0, 0);
            const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
            let found = 0;
            for (let i = 0; i < data.length; i += 4)
                found += data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255;
            return found;
        }""",
        [chart, *colour],
    )


@pytest.mark.parametrize(("theme", "prefix"), [("light", "/dev"), ("dark", ""), ("light", "")])
def test_page_shows_the_aggregates_of_the_table(visit, shop, theme, prefix):
    with visit(shop, theme=theme, prefix=prefix) as page_visit:
        page = page_visit.page
        for tile, text in TILES.items():
            expect(page.locator(tile)).to_have_text(text)
        assert page_visit.readout("added").startswith("3,004.35 ")  # 30 times 100.00, and 0.00 to 0.29
        assert page_visit.readout("abandoned").startswith("375.00 12.5% of value added ")
        days = page.locator("#added-rows tr")
        assert days.count() == 30
        expect(days.first).to_contain_text(f"{TODAY.day} ")
        assert days.first.locator("td").all_text_contents() == ["9", "20", "100.00", "1", "0"]
        products = page.locator("#product-rows tr")
        assert [[cell.strip() for cell in row.split("\t")] for row in products.all_inner_texts()] == [
            ["Product 7", "5", "30", "300.00"],
            ["Product 42", "9", "20", "400.00"],
            ["Product 9007199254740991", "2", "3", "5,000,000.00"],
        ]
        other_theme = "dark" if theme == "light" else "light"
        assert pixels(page, "#added-chart", ADDED[theme]) > 1000
        assert pixels(page, "#added-chart", ADDED[other_theme]) == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_fits_on_a_phone(visit, shop, theme):
    with visit(shop, theme=theme, size=PHONE) as page_visit:
        page_visit.page.locator("summary").first.click()
        page_visit.page.locator("summary").last.click()
        assert page_visit.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        assert page_visit.page.evaluate("document.querySelector('.products table').scrollWidth") <= PHONE["width"] - 64
        assert page_visit.page.locator("#added-chart canvas").bounding_box()["width"] <= PHONE["width"] - 64


def test_chosen_theme_is_drawn_and_remembered(visit, shop):
    with visit(shop) as page_visit:
        page_visit.page.get_by_role("button", name="Dark theme").click()
        for _ in range(2):
            expect(page_visit.page.get_by_role("button", name="Light theme")).to_be_visible()
            assert pixels(page_visit.page, "#added-chart", ADDED["dark"]) > 1000
            assert page_visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 21, 19)"
            page_visit.page.reload()
            expect(page_visit.page.locator("#added-chart canvas")).to_be_visible()


def test_values_of_a_day_are_shown_by_pointer_and_keys(visit, shop):
    with visit(shop) as page_visit:
        page, chart = page_visit.page, page_visit.page.locator("#abandoned-chart")
        whole = page_visit.readout("abandoned")
        page.locator("#abandoned-chart .u-over").hover(position={"x": 2, "y": 60})
        assert page_visit.readout("abandoned").startswith("25.00 24.9% of value added ")  # 29 days ago
        assert page_visit.readout("added").startswith("100.29 ")  # both charts point at the same day
        page.mouse.move(2, 2)
        assert page_visit.readout("abandoned") == whole

        chart.focus()
        page.keyboard.press("ArrowLeft")
        expect(chart).to_have_attribute("aria-valuenow", "29")
        assert chart.get_attribute("aria-valuetext").endswith(": 25.00")
        page.keyboard.press("End")
        assert chart.get_attribute("aria-valuetext").endswith(": 0.00")
        page.keyboard.press("Home")
        assert page_visit.readout("abandoned").startswith("25.00 ")
        page.keyboard.press("Tab")
        assert page_visit.readout("abandoned") == whole


def test_products_are_sorted_by_units_carts_or_value(visit, shop):
    with visit(shop) as page_visit:
        first = page_visit.page.locator("#product-rows tr").first
        for button, product in (("Carts", "Product 42"), ("Value", f"Product {2**53 - 1}"), ("Units", "Product 7")):
            page_visit.page.get_by_role("button", name=button, exact=True).click()
            expect(first).to_contain_text(product)
            assert page_visit.page.locator("[aria-sort=descending]").inner_text() == button


def test_chosen_period_is_kept_in_the_address(visit, shop):
    with visit(shop) as page_visit:
        days = page_visit.page.locator("#added-rows tr")
        page_visit.page.get_by_role("button", name="7 days").click()
        expect(days).to_have_count(7)
        assert page_visit.page.url.endswith("?days=7&sort=units")  # the last 7 days, whenever it is opened
        page_visit.page.reload()
        expect(days).to_have_count(7)
        page_visit.page.get_by_label("From").fill(str(TODAY - timedelta(59)))
        expect(days).to_have_count(60)
        page_visit.page.reload()
        expect(days).to_have_count(60)
        page_visit.page.get_by_role("button", name="1 year").click()  # an area: so many bars would be too thin
        expect(days).to_have_count(365)
        assert page_visit.readout("added").startswith("6,017.70 ")


def test_refused_period_has_a_reason_and_can_be_corrected(visit, shop):
    with visit(shop, query="?from=2020-01-01&to=2026-11-23", quiet=False) as page_visit:
        expect(page_visit.page.get_by_role("alert")).to_contain_text("from: At most 366 days")
        expect(page_visit.page.get_by_role("button", name="Try again")).to_be_hidden()
        page_visit.page.get_by_role("button", name="30 days").click()
        expect(page_visit.page.get_by_role("alert")).to_be_hidden()
        expect(page_visit.page.locator("#value-now")).to_have_text(TILES["#value-now"])


def test_page_without_data_explains_itself(visit, moto_url):
    with visit(create_app(make_store("moto", moto_url).config)) as page_visit:
        expect(page_visit.page.get_by_text("Nothing is in any cart yet.")).to_be_visible()
        expect(page_visit.page.locator("#value-now")).to_have_text("0.00")
        expect(page_visit.page.get_by_text("No product is in any cart now.")).to_be_visible()
        assert page_visit.page.get_by_text("Nothing on these days").count() == 2


def test_failure_shows_the_request_id_and_a_retry_button(visit, shop, monkeypatch):
    def fail(*_):
        raise Unavailable

    with monkeypatch.context() as broken:
        broken.setattr(Aggregates, "top", fail)
        with visit(shop, quiet=False) as page_visit, nullcontext(page_visit.page.get_by_role("alert")) as alert:
            expect(alert).to_contain_text("The cart store is not available")
            assert alert.locator("#error-id").inner_text().startswith("Request ")
            expect(page_visit.page.locator(".tiles")).to_be_hidden()
            broken.undo()
            alert.get_by_role("button", name="Try again").click()
            expect(page_visit.page.locator("#value-now")).to_have_text(TILES["#value-now"])
            expect(alert).to_be_hidden()


def test_token_is_requested_and_kept_only_in_memory(visit, filled):
    keys = {"auth_mode": "jwt", "auth_public_key": pem(RSA_KEY), "auth_issuer": ISSUER, "auth_audience": AUDIENCE}
    closed = create_app(replace(filled.config, **keys))
    admins = token(scope="carts:admin")
    with visit(closed, quiet=False) as page_visit:
        page, value_now = page_visit.page, page_visit.page.locator("#value-now")
        expect(page.get_by_label("Access token")).to_be_focused()
        expect(value_now).to_be_hidden()
        for text, reason in ((token(exp=1), "has expired"), (token(), "lacks the admin scope")):
            page.get_by_label("Access token").fill(text)
            page.keyboard.press("Enter")
            expect(page.get_by_text(reason)).to_be_visible()
        page.get_by_label("Access token").fill(f"Bearer {admins}")
        page.get_by_role("button", name="Show the figures").click()
        expect(value_now).to_have_text(TILES["#value-now"])

        with page.expect_download() as saved:
            page.locator("[data-csv=abandonment]").click()
        assert saved.value.suggested_filename == f"abandonment-{TODAY - timedelta(29)}-{TODAY}.csv"
        lines = saved.value.path().read_text().splitlines()
        assert lines[0].startswith("day,lines_added,value_added,")
        assert lines[30] == f"{TODAY},9,100.00,0,0.00,0.0000,0.0000"

        stored_data = page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
        )
        assert admins not in stored_data + "".join(page_visit.requested_urls) + "".join(page_visit.complaints)
        page.reload()
        expect(page.get_by_label("Access token")).to_be_visible()


def test_changes_of_shoppers_reach_the_page(visit, dynamodb_local_url, monkeypatch):
    """From a shopper's request, through the table's stream and the counting function, to the page."""
    store = make_store("dynamodb-local", dynamodb_local_url, with_stream=True)
    app = create_app(store.config)
    monkeypatch.setattr(wsgi, "app", app)
    stream, shopper = stream_of(store.config, store.client), app.test_client()
    for user, quantity in (("alice", 2), ("bob", 5), ("carol", 1)):
        shopper.post(f"/cart/{user}/items", json=CUP | {"quantity": quantity})
    shopper.post("/cart/alice/items", json=CUP | {"product_id": 7, "price": 5})
    shopper.delete("/cart/alice/items/42")
    count(stream.read())
    store.client.delete_item(TableName=store.config.dynamodb_table_name, Key=row_key("carol", "ITEM#42"))
    with visit(app) as page_visit:
        expect(page_visit.page.locator("#units-now")).to_have_text("8")
        count([by_ttl(record) for record in stream.read()])
        page_visit.page.get_by_role("button", name="Refresh").click()
        expect(page_visit.page.locator("#units-now")).to_have_text("7")
        assert page_visit.page.locator("#value-now").inner_text() == "109.95"  # 5 at 19.99 and 2 at 5
        assert page_visit.readout("added").startswith("169.92 ")
        assert page_visit.readout("abandoned").startswith("19.99 11.8% of value added ")
        products = [" ".join(row.split()) for row in page_visit.page.locator("#product-rows tr").all_inner_texts()]
        assert products == ["Product 42 1 5 99.95", "Product 7 1 2 10.00"]


def count(records: list) -> None:
    counted = [record for record in records if is_counted(record)]
    assert events.count_changes({"Records": counted}, None) == {"batchItemFailures": []}


# --- the files


def test_page_has_a_strict_content_security_policy(shop):
    answer = shop.test_client().get("/analytics")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy.split("; ")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    text = answer.get_data(as_text=True)
    assert "http://" not in text + "https://" not in text
    assert "style=" not in text
    assert all(" src=" in tag for tag in text.split("<script")[1:])


def test_files_have_etags_of_their_content(shop):
    client = shop.test_client()
    for path in ("/analytics", *(f"/analytics/assets/{name}" for name in ASSETS)):
        first = client.get(path)
        assert (first.status_code, first.headers["Cache-Control"]) == (200, "no-cache")
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
    tags = {client.get(f"/analytics/assets/{name}").headers["ETag"] for name in ASSETS}
    assert len(tags) == len(ASSETS)


@pytest.mark.parametrize("name", ["x.js", "analytics.html", "uplot.LICENSE", "..%2fpage.py", "%2e%2e/page.py", ""])
def test_other_files_are_not_served(shop, name):
    assert shop.test_client().get(f"/analytics/assets/{name}").status_code == 404


def test_page_files_are_opened_only_on_request():
    """Python reports the files that it opens, from before the app is imported."""
    code = f"""
import sys
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
from wsgi import app
pages = lambda: [path for path in opened if path.startswith({str(PAGES)!r})]
assert app.test_client().get("/health").status_code == 200
before = pages()
app.test_client().get("/analytics")
print(len(before), len(pages()), "cart.analytics.page" in sys.modules)
"""
    environ = os.environ | {"LOG_LEVEL": "ERROR", "AWS_EC2_METADATA_DISABLED": "true"}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == ["0", "1", "True"]


def test_uplot_equals_its_published_files():
    for name, digest in UPLOT.items():
        assert hashlib.sha256((PAGES / name).read_bytes()).hexdigest() == digest, name
    assert {path.name for path in PAGES.iterdir()} == {*ASSETS, "analytics.html", "uplot.LICENSE"}
