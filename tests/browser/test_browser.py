"""Swagger UI in a real browser: the service serves all of its files, and it can call the API under a prefix."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Page, Request, expect, sync_playwright

from cart import create_app
from tests.support.browser import FLAGS, listening
from tests.support.project import missing
from tests.support.stores import CUP
from tests.support.tokens import AUDIENCE, ISSUER, RSA_KEY, pem, token

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("no Chromium is installed (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser.new_page(viewport={"width": 1100, "height": 1400})
        browser.close()


@pytest.fixture(params=["", "/dev"])
def prefix(request) -> str:
    return request.param


@pytest.fixture
def base_url(app, prefix) -> Iterator[str]:
    """The app on a loopback port, at the root or, as under API Gateway, below a stage."""
    with listening(app, prefix) as url:
        yield url


@pytest.mark.parametrize("store", ["moto"], indirect=True)
def test_get_cart_can_be_tried_out(page, app, base_url, prefix, user, tmp_path):
    app.test_client().post(f"/cart/{user}/items", json=CUP)
    requested: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))

    page.goto(f"{base_url}{prefix}/docs")
    operation = page.locator("#operations-carts-getCart")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_placeholder("user_id").fill(user)
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response").first
    answer.wait_for()
    page.screenshot(path=tmp_path / "docs.png", full_page=True)

    assert answer.locator(".response-col_status").inner_text().startswith("200")
    assert '"total_price": 39.98' in answer.locator(".response-col_description").inner_text()
    assert f"{base_url}{prefix}/cart/{user}" in requested
    assert [url for url in requested if not url.startswith((f"{base_url}{prefix}/", "data:"))] == []
    # on a page that is not on localhost, Swagger UI would send the address of the document to swagger.io
    assert page.evaluate("ui.getConfigs().validatorUrl") is None
    assert problems == []


class TriedOperation:
    """An operation on Swagger UI's page, whose fields are filled in and which is executed."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.block = page.locator(f"[id$='-{name}']")
        self.block.locator(".opblock-summary-control").click()
        self.block.get_by_role("button", name="Try it out").click()

    def execute(self, body: str | None = None, **parameters: str) -> Request:
        """Send the request, wait until its answer is shown, and return it."""
        for name, value in parameters.items():
            field = self.block.locator(f"tr[data-param-name='{name.replace('_', '-') if name[0].isupper() else name}']")
            if field.locator("select").count():
                field.locator("select").select_option(value)
            else:
                field.locator("input").fill(value)
        if body is not None:
            self.block.locator(".body-param__text").fill(body)
        with self.page.expect_request(lambda request: "/cart/" in request.url) as sent:
            self.block.get_by_role("button", name="Execute").click()
        self.block.locator(".live-responses-table .response").first.wait_for()
        return sent.value


@pytest.mark.parametrize("store", ["moto"], indirect=True)
def test_conditions_keys_and_query_parameters_are_sent(page, app, base_url, prefix, user):
    """Also, nothing that the page needs is against its Content-Security-Policy."""
    refusals: list[str] = []
    page.on("console", lambda message: refusals.append(message.text) if "Content Security" in message.text else None)
    page.goto(f"{base_url}{prefix}/docs")
    added = TriedOperation(page, "addItem").execute(json.dumps(CUP), user_id=user, Idempotency_Key='"k-1"')
    assert (added.headers["idempotency-key"], added.response().status) == ('"k-1"', 201)
    etag = added.response().headers["etag"]
    setting = TriedOperation(page, "setQuantity")
    stale = setting.execute('{"quantity": 5}', user_id=user, product_id="42", If_Match='"0"')
    assert (stale.headers["if-match"], stale.response().status) == ('"0"', 412)
    fresh = setting.execute('{"quantity": 5}', If_Match=etag)
    assert (fresh.headers["if-match"], fresh.response().status) == (etag, 200)
    read = TriedOperation(page, "getCart").execute(user_id=user, include="saved")
    assert read.url == f"{base_url}{prefix}/cart/{user}?include=saved"
    assert read.response().status == 200
    assert refusals == []


def test_authorize_gives_access_to_get_cart(page, moto_store, user, tmp_path):
    keys = {"auth_mode": "jwt", "auth_public_key": pem(RSA_KEY), "auth_issuer": ISSUER, "auth_audience": AUDIENCE}
    with listening(create_app(replace(moto_store.config, **keys)), "/dev") as url:
        page.goto(f"{url}/dev/docs")
        operation = page.locator("#operations-carts-getCart")
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_placeholder("user_id").fill(user)
        status = operation.locator(".live-responses-table .response .response-col_status").first
        operation.get_by_role("button", name="Execute").click()
        expect(status).to_contain_text("401")

        page.locator(".auth-wrapper .authorize").first.click()
        page.locator(".auth-container input").fill(token(user))
        page.locator(".auth-btn-wrapper .authorize").click()
        page.locator(".btn-done").click()
        operation.get_by_role("button", name="Execute").click()
        expect(status).to_contain_text("200")
        page.screenshot(path=tmp_path / "authorized.png")
