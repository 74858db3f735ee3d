"""A price change reaches every line of the product once, in any order; shoppers see it and can accept it."""

import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from cart import create_app
from cart.bus import Bus
from cart.http.extensions import get_bus
from cart.prices import job_rows, jobs
from cart.prices.job_rows import Job
from tests.support.crashes import Crashed, crashing
from tests.support.fault_proxy import fault_proxy
from tests.support.faults import GARBLED, LOST, THROTTLED
from tests.support.faulty_client import failing, hooked
from tests.support.price_changes import (
    EXPIRED,
    NEW,
    NEWER,
    OLD,
    T1,
    T2,
    T3,
    fill_carts,
    line_of,
    price_change_of,
    saved,
)
from tests.support.stores import CUP, make_store

ENDS_WITHIN_SECONDS = 30


@pytest.fixture
def product() -> int:
    """A product of one test alone, since a change reaches all carts that have it."""
    return random.randrange(1, 2**50)


@pytest.fixture
def change(app, table, product):
    """Return ``change(price, changed_at)``, which carries out a change at once and returns the finished job."""

    def carry_out(price: Decimal, changed_at: str, product_id: int = product) -> Job:
        with app.app_context():
            job = jobs.start(product_id, price, changed_at)
        jobs.run(table, Bus(app.extensions["cart_config"]), job.job_id)
        finished = job_rows.read_job(table, job.job_id)
        assert finished
        return finished

    return carry_out


# --- what shoppers see


def test_cart_shows_changed_prices_and_totals_stay(client, user, store, product, change):
    store.put(user, product)
    store.put(user, product, **saved(product))
    store.put(user, product + 1)
    before = client.get(f"/cart/{user}?include=saved")
    assert before.json["price_changes"] == 0
    assert change(NEW, T1)[5:9] == ("done", 2, 2, 0)
    cart = client.get(f"/cart/{user}?include=saved")
    lines = {line["product_id"]: line for line in cart.json["items"]}
    assert price_change_of(lines[product]) == price_change_of(cart.json["saved"][0]) == (NEW, T1)
    assert price_change_of(lines[product + 1]) is None
    assert cart.json["price_changes"] == 1
    assert {line["price"] for line in lines.values()} == {OLD}
    assert cart.json["total_price"] == before.json["total_price"]
    assert cart.headers["ETag"] != before.headers["ETag"]
    token = client.post(f"/cart/{user}/shares", json={}).json["token"]
    assert client.get(f"/shared/{token}").json["price_changes"] == 1


def test_change_makes_a_new_version_and_keeps_the_expiry(client, user, store, product, change):
    store.put(user, product)
    (before,) = store.rows(user)
    version = line_of(client, user)["version"]
    change(NEW, T1)
    assert line_of(client, user)["version"] == version + 1
    (after,) = store.rows(user)
    assert {name for name in after if after[name] != before.get(name)} == {
        *("current_price", "price_changed_at", "price_changed_from", "version")
    }
    path, if_match = f"/cart/{user}/items/{product}", {"If-Match": f'"{version}"'}
    refused = client.put(path, json={"quantity": 1}, headers=if_match)
    assert (refused.status_code, price_change_of(refused.get_json(force=True)["current"])) == (412, (NEW, T1))


def test_change_does_not_restore_removed_or_expired_lines(client, user, store, table, product, change):
    store.put(user, product, ttl=EXPIRED)
    before = store.rows(user)
    removed_user = f"gone-{user}"
    store.put(removed_user, product)

    def remove(**_):
        """Delete the line after the index was read and before the line is written."""
        store.client.delete_item(
            TableName=table.name, Key={"user_id": {"S": removed_user}, "item_id": {"S": f"ITEM#{product}"}}
        )

    with hooked(table, "after", remove, "Query"):
        assert change(NEW, T1)[6:9] == (2, 0, 2)
    assert store.rows(user) == before
    assert store.rows(removed_user) == []


def test_price_that_changes_back_shows_no_change(client, user, store, product, change):
    store.put(user, product)
    for price, changed_at, expected in ((NEW, T1, (NEW, T1)), (OLD, T2, None), (NEWER, T3, (NEWER, T3))):
        change(price, changed_at)
        assert price_change_of(line_of(client, user)) == expected
        assert client.get(f"/cart/{user}").json["price_changes"] == (expected is not None)


# --- the newest wins


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_newest_change_is_kept_in_any_order(client, user, store, product, change, order):
    store.put(user, product)
    events = [(NEW, T1), (Decimal(5), T2), (NEWER, T3)]
    for number in order:
        change(*events[number])
    assert price_change_of(line_of(client, user)) == (NEWER, T3)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_simultaneous_changes_all_carts_get_the_same(client, user, store, product, change, order):
    store.put(user, product)
    for price in (NEW, NEWER)[::order]:
        change(price, T1)
    assert price_change_of(line_of(client, user)) == (NEW, T1)


def test_repeated_and_unordered_events_lead_to_the_newest_price(real_store, product):
    """8 threads send 30 changes, each twice, to 20 carts that shoppers use: all lines get the newest."""
    app = create_app(real_store.config)
    table, users = app.extensions["cart_table"], [f"{product}-{number}" for number in range(20)]
    for user in users:
        real_store.put(user, product)
    moments = [f"2026-02-{day:02}T00:00:00.000000Z" for day in range(1, 16)]
    events = [(Decimal(day), moment) for day, moment in enumerate(moments, 1)] * 2
    random.Random(7).shuffle(events)

    def work(event: tuple[Decimal, str]) -> None:
        with app.app_context():
            job = jobs.start(product, *event)
            jobs.run(table, get_bus(), job.job_id)
        app.test_client().put(f"/cart/{users[int(event[0])]}/items/{product}", json={"quantity": int(event[0])})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, events))
    wait_until(lambda: not jobs_of(table, product))
    for number, user in enumerate(users):
        line = line_of(app.test_client(), user)
        assert price_change_of(line) == (Decimal(15), moments[-1])
        assert line["quantity"] == (number if 1 <= number <= 15 else 2)


def jobs_of(table, product: int) -> list[Job]:
    return [job for job in job_rows.unfinished_jobs(table) if job.product_id == product]


def wait_until(is_so) -> None:
    deadline = time.monotonic() + ENDS_WITHIN_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_repeated_change_is_one_job_and_one_version(client, user, store, product, change):
    store.put(user, product)
    first = change(NEW, T1)
    version = line_of(client, user)["version"]
    assert change(NEW, T1) == first
    assert line_of(client, user)["version"] == version


# --- writes that give the line a price


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["no key", "key"])
@pytest.mark.parametrize(("price", "expected"), [(OLD, (NEW, T2)), (NEW, None), (Decimal(7), None)])
def test_add_with_another_price_ends_the_price_change(client, user, store, product, change, price, expected, headers):
    """An add with the old price, as from a page that was loaded before the change, does not end it."""
    store.put(user, product)
    change(NEW, T2)
    body = CUP | {"product_id": product, "price": price, "quantity": 1}
    answer = client.post(f"/cart/{user}/items", json=body, headers=headers)
    assert answer.json["price"] == price
    assert price_change_of(answer.json) == expected
    change(NEWER, T1)  # late and older: it must change nothing
    line = line_of(client, user)
    assert (price_change_of(line), line["quantity"]) == (expected, 3)
    change(NEWER, T3)
    assert price_change_of(line_of(client, user)) == (NEWER, T3)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["no key", "key"])
def test_readded_expired_line_has_no_price_change(client, user, store, product, change, headers):
    store.put(user, product)
    change(NEW, T3)
    store.expire(user)
    answer = client.post(f"/cart/{user}/items", json=CUP | {"product_id": product}, headers=headers)
    assert price_change_of(answer.json) is None
    (row,) = [row for row in store.rows(user) if "product_id" in row]
    assert not row.keys() & {"current_price", "price_changed_at", "price_changed_from"}
    change(NEWER, T1)
    assert price_change_of(line_of(client, user)) == (NEWER, T1)


def test_move_takes_the_price_change_along(client, user, store, product, change):
    store.put(user, product)
    change(NEW, T2)
    moved = client.post(f"/cart/{user}/items/{product}/save-for-later")
    assert price_change_of(moved.json) == (NEW, T2)
    # over an expired line with another change
    store.put(
        user,
        product,
        ttl=EXPIRED,
        current_price={"N": "1"},
        price_changed_at={"S": T3},
        price_changed_from={"N": "19.99"},
    )
    back = client.post(f"/cart/{user}/saved/{product}/move-to-cart")
    assert price_change_of(back.json) == (NEW, T2)
    assert price_change_of(line_of(client, user)) == (NEW, T2)


@pytest.mark.parametrize("newer_is_in", ["source", "target"])
def test_merge_keeps_the_newest_change(client, user, store, product, newer_is_in):
    for cart_user, is_newer in ((f"guest-{user}", newer_is_in == "source"), (user, newer_is_in == "target")):
        price, changed_at = (NEWER, T3) if is_newer else (NEW, T1)
        store.put(
            cart_user,
            product,
            current_price={"N": str(price)},
            price_changed_at={"S": changed_at},
            price_changed_from={"N": "19.99"},
        )
    merged = client.post(f"/cart/{user}/merge", json={"source_user_id": f"guest-{user}"})
    assert price_change_of(merged.json["cart"]["items"][0]) == price_change_of(line_of(client, user)) == (NEWER, T3)
    assert merged.json["cart"]["price_changes"] == 1


@pytest.mark.parametrize("order", [[("guest-", 5), ("", 7)], [("", 7), ("guest-", 5)]])
def test_merge_of_lines_with_the_same_change_shows_it(client, user, product, change, order):
    """The newer line's price is kept, and the change belongs to that price."""
    for prefix, price in order:
        body = CUP | {"product_id": product, "price": price}
        assert client.post(f"/cart/{prefix}{user}/items", json=body).status_code == 201
    change(NEW, T2)
    merged = client.post(f"/cart/{user}/merge", json={"source_user_id": f"guest-{user}"})
    (line,) = merged.json["cart"]["items"]
    assert line["price"] == order[-1][1]
    assert price_change_of(line) == price_change_of(line_of(client, user)) == (NEW, T2)


@pytest.mark.parametrize("newer_is_in", ["source", "target"])
def test_merge_of_one_change_in_both_lines_keeps_that_of_the_newer_price(
    client, user, store, product, change, newer_is_in
):
    """The older line has the new price already, so its own record of the change would show nothing."""
    source_price, target_price = (OLD, NEW) if newer_is_in == "source" else (NEW, OLD)
    given_at = {OLD: {"S": T2}, NEW: {"S": T1}}
    for row, price in ((saved(product), source_price), ({}, target_price)):
        store.put(user, product, price={"N": str(price)}, priced_at=given_at[price], **row)
    change(NEW, T3)
    moved = client.post(f"/cart/{user}/saved/{product}/move-to-cart")
    assert (moved.json["price"], price_change_of(moved.json)) == (OLD, (NEW, T3))
    assert price_change_of(line_of(client, user)) == (NEW, T3)


def test_merge_over_an_expired_line_ignores_its_change(client, user, store, product):
    store.put(
        user,
        product,
        ttl=EXPIRED,
        current_price={"N": "1"},
        price_changed_at={"S": T3},
        price_changed_from={"N": "19.99"},
    )
    store.put(f"guest-{user}", product)
    client.post(f"/cart/{user}/merge", json={"source_user_id": f"guest-{user}"})
    (row,) = store.rows(user)
    assert "current_price" not in row
    assert price_change_of(line_of(client, user)) is None


# --- accept


@pytest.mark.parametrize("body", [None, {}, "some"])
def test_accept_gives_the_lines_their_new_price(client, user, store, product, change, body):
    for number in range(3):
        store.put(user, product + number)
    change(NEW, T1)
    change(NEWER, T1, product + 1)
    sent = {"json": {"product_ids": [product, product + 2, 7]} if body == "some" else body} if body != None else {}  # noqa: E711
    accepted = client.post(f"/cart/{user}/price-changes/accept", **sent)
    expected = {product: NEW, product + 1: OLD if body == "some" else NEWER, product + 2: OLD}
    assert {line["product_id"]: line["price"] for line in accepted.json["items"]} == expected
    assert accepted.json["price_changes"] == (body == "some")
    assert accepted.json["total_price"] == 2 * sum(expected.values())
    read = client.get(f"/cart/{user}")
    assert (read.json, read.headers["ETag"]) == (accepted.json, accepted.headers["ETag"])
    again = client.post(f"/cart/{user}/price-changes/accept", **sent)
    assert (again.json, again.headers["ETag"]) == (accepted.json, accepted.headers["ETag"])
    change(Decimal(1), "2025-01-01T00:00:00.000000Z")  # late, and older than the accepted change
    assert line_of_product(client, user, product)["price"] == NEW
    assert price_change_of(line_of_product(client, user, product)) is None


def line_of_product(client, user: str, product: int) -> dict[str, Any]:
    return next(line for line in client.get(f"/cart/{user}").json["items"] if line["product_id"] == product)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"product_ids": []}, "product_ids"),
        ({"product_ids": [0]}, "product_ids"),
        ({"product_ids": ["1"]}, "product_ids"),
        ({"product_ids": 1}, "product_ids"),
        ({"products": [1]}, "products"),
        ([], "body"),
    ],
)
def test_invalid_accept_is_refused_with_its_field(client, user, body, field):
    answer = client.post(f"/cart/{user}/price-changes/accept", json=body)
    assert (answer.status_code, list(answer.get_json(force=True)["errors"])) == (422, [field])


def test_accept_with_if_match_refuses_an_unread_change(client, user, store, product, change):
    """With If-Match, also if the change comes between the read and the write."""
    store.put(user, product)
    change(NEW, T1)
    path, if_match = f"/cart/{user}/price-changes/accept", {"If-Match": client.get(f"/cart/{user}").headers["ETag"]}
    table = client.application.extensions["cart_table"]
    changes = []

    def change_now(**_):
        if not changes:
            changes.append(1)
            change(NEWER, T2)

    with hooked(table, "before", change_now, "TransactWriteItems"):
        refused = client.post(path, headers=if_match)
    assert changes
    assert refused.status_code == 412
    assert price_change_of(refused.get_json(force=True)["current"]["items"][0]) == (NEWER, T2)
    assert line_of(client, user)["price"] == OLD
    current = {"If-Match": client.get(f"/cart/{user}").headers["ETag"]}
    assert client.post(path, headers=current).json["items"][0]["price"] == NEWER


def test_concurrent_accepts_changes_and_adds_lose_nothing(real_store, product):
    """In any order, no unit is lost, and in the end the last change is shown or accepted."""
    app = create_app(real_store.config)
    user = f"racing-{product}"
    real_store.put(user, product, quantity={"N": "1"})

    def shop(number: int) -> None:
        client = app.test_client()
        if number % 3 == 0:
            body = {"price": number + 1, "changed_at": f"2026-01-01T00:00:{number:02}Z"}
            assert client.put(f"/products/{product}/price", json=body).status_code == 202
        elif number % 3 == 1:
            assert client.post(f"/cart/{user}/price-changes/accept").status_code in (200, 429)
        else:
            body = CUP | {"product_id": product, "price": OLD, "quantity": 1}
            assert client.post(f"/cart/{user}/items", json=body).status_code == 201

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(shop, range(30)))
    wait_until(lambda: not jobs_of(app.extensions["cart_table"], product))
    client = app.test_client()
    wait_until(lambda: client.post(f"/cart/{user}/price-changes/accept").status_code == 200)
    line = line_of(client, user)
    assert line["quantity"] == 11
    (row,) = real_store.rows(user)
    assert Decimal(row["current_price"]["N"]) == 28  # of the newest
    assert line["price"] == 28 or row["price_changed_from"]["N"] != str(line["price"])


# --- jobs


def test_change_over_http_is_a_job_with_a_status(client, user, store, product):
    store.put(user, product)
    answer = client.put(f"/products/{product}/price", json={"price": 21.5, "changed_at": "2026-01-01T01:00:00+01:00"})
    assert answer.status_code == 202
    path = answer.headers["Location"]
    assert path == f"/products/{product}/price-changes/{answer.json['job_id']}"
    assert (answer.json["status"], answer.json["price"], answer.json["changed_at"]) == ("running", NEW, T1)
    wait_until(lambda: client.get(path).json["status"] == "done")
    assert {name: client.get(path).json[name] for name in ("seen", "changed", "skipped")} == {
        "seen": 1,
        "changed": 1,
        "skipped": 0,
    }
    assert price_change_of(line_of(client, user)) == (NEW, T1)
    again = client.put(f"/products/{product}/price", json={"price": 21.5, "changed_at": T1})
    assert (again.status_code, again.json) == (202, client.get(path).json)
    for other_path in (f"/products/{product}/price-changes/{'0' * 32}", path.replace(str(product), "7")):
        missing = client.get(other_path)
        assert (missing.status_code, missing.get_json(force=True)["type"]) == (404, "urn:cart:problem:job-not-found")


def test_change_without_changed_at_is_now(client, user, store, product):
    store.put(user, product)
    before = time.time()
    answer = client.put(f"/products/{product}/price", json={"price": 1})
    wait_until(lambda: price_change_of(line_of(client, user)) is not None)
    assert price_change_of(line_of(client, user)) == (1, answer.json["changed_at"])
    assert before <= time.mktime(time.strptime(answer.json["changed_at"][:19], "%Y-%m-%dT%H:%M:%S")) + 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "price"),
        ({"price": 0}, "price"),
        ({"price": "1"}, "price"),
        ({"price": 1.234}, "price"),
        ({"price": 1, "product_id": 2}, "product_id"),
        *(
            ({"price": 1, "changed_at": text}, "changed_at")
            for text in (
                *("", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-02-30T00:00:00Z", "2026-01-01T00:00:60Z"),
                *("9999-12-31T23:59:59-01:00", "2099-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", 1767225600, None),
            )
        ),
    ],
)
def test_invalid_change_is_refused_with_its_field(client, table, product, body, field):
    calls: list[Any] = []
    with hooked(table, "before", lambda **_: calls.append(1)):
        answer = client.put(f"/products/{product}/price", json=body)
    assert (answer.status_code, list(answer.get_json(force=True)["errors"])) == (422, [field])
    assert not calls


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(jobs, "PAGE_LINES", 3)


@pytest.fixture
def short_steps(small_pages, monkeypatch):
    """Let each step read one page."""
    monkeypatch.setattr(jobs, "STEP_SECONDS", 0)


def assert_all_changed(client, users: list[str], product: int, price: Decimal, changed_at: str) -> None:
    for user in users:
        line = line_of(client, user)
        assert price_change_of(line) == (price, changed_at)
        assert line["version"] == 2  # once
    assert price_change_of(client.get(f"/cart/{product}-saved/saved").json["items"][0]) == (price, changed_at)


def start_job(app, product: int) -> Job:
    with app.app_context():
        return jobs.start(product, NEW, T1)


def test_step_ends_in_time_and_the_next_continues(app, client, store, table, product, short_steps):
    users = fill_carts(store, product, 10)
    job = start_job(app, product)
    bus, pages = Bus(store.config), 0
    while jobs.run_step(table, bus, job.job_id):
        pages += 1
        stored_job = job_rows.read_job(table, job.job_id)
        assert (stored_job.seen, stored_job.status, stored_job.is_idle) == (3 * pages, "running", True)
    assert pages in (3, 4)  # 12 lines: an engine may need an empty page to see the end
    assert job_rows.read_job(table, job.job_id)[5:9] == ("done", 12, 11, 1)
    assert_all_changed(client, users, product, NEW, T1)


@pytest.mark.slow
def test_crashed_run_continues_from_its_cursor(app, client, store, table, monkeypatch, small_pages):
    """It crashes before and after every request: the job, each page and line, each cursor."""
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 0)
    monkeypatch.setattr(jobs, "PAGE_LINES", 2)
    bus, crash_count = Bus(store.config), 0
    for moment in ("before", "after"):
        for point in itertools.count():
            product = random.randrange(1, 2**50)
            users = fill_carts(store, product, 3)
            job = start_job(app, product)
            with crashing(table, moment, point):
                try:
                    jobs.run(table, bus, job.job_id)
                except Crashed:
                    crash_count += 1
                else:
                    break
            crashed_job = job_rows.read_job(table, job.job_id)
            assert crashed_job.seen in (0, 2, 4, 5)
            jobs.run(table, bus, job.job_id)
            finished_job = job_rows.read_job(table, job.job_id)
            assert finished_job[5:9] == ("done", 5, 4, 1), (moment, point)
            assert_all_changed(client, users, product, NEW, T1)
            assert jobs_of(table, product) == []
    assert crash_count >= 2 * (1 + 3 + 5 + 3)


def test_only_one_worker_has_the_lease_of_a_job(app, store, table, product, small_pages):
    fill_carts(store, product, 4)
    job = start_job(app, product)
    taken_job = job_rows.lease_job(table, job.job_id, "me", 60)
    assert taken_job
    assert job_rows.lease_job(table, job.job_id, "me", 60)  # the first answer may have been lost
    assert job_rows.lease_job(table, job.job_id, "you", 60) is None
    assert not jobs.run_step(table, Bus(store.config), job.job_id)
    assert job_rows.read_job(table, job.job_id).seen == 0
    assert job_rows.save_job(table, taken_job._replace(lease_until=0), "me")
    assert job_rows.lease_job(table, job.job_id, "you", 60)
    assert not job_rows.save_job(
        table, taken_job._replace(seen=100), "me"
    )  # a worker whose lease has ended cannot write the cursor
    assert job_rows.read_job(table, job.job_id).seen == 0


@pytest.mark.parametrize("how", ["get", "put", "resume"])
def test_unfinished_job_is_continued_by_another_request(app, client, store, table, product, short_steps, how):
    users = fill_carts(store, product, 4)
    job = start_job(app, product)
    assert jobs.run_step(table, Bus(store.config), job.job_id)
    path = f"/products/{product}/price-changes/{job.job_id}"
    if how == "put":
        client.put(f"/products/{product}/price", json={"price": NEW, "changed_at": T1})
    elif how == "resume":
        result = app.test_cli_runner().invoke(args=["prices", "resume"])
        assert result.exit_code == 0, result.output
        assert f"{job.job_id} product {product}: done, 6 lines seen, 5 changed" in result.output
        assert job_rows.read_job(table, job.job_id).status == "done"
    wait_until(lambda: client.get(path).json["status"] == "done")
    assert_all_changed(client, users, product, NEW, T1)


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("operation", ["UpdateItem", "Query"])
@pytest.mark.parametrize("error", [THROTTLED, LOST, GARBLED], ids=["throttled", "lost", "garbled"])
def test_failed_requests_of_a_job_are_retried(app, client, store, table, product, change, error, operation, applied):
    """A line whose answer was lost is not changed twice."""
    users = fill_carts(store, product, 6)
    with failing(table, operation, [error] * 3, applied) as calls:
        assert change(NEW, T1)[5:9] == ("done", 8, 7, 1)
    assert len(calls) > 3
    assert_all_changed(client, users, product, NEW, T1)


def test_long_throttled_job_can_be_resumed(app, client, store, table, product, monkeypatch):
    users = fill_carts(store, product, 3)
    monkeypatch.setattr(jobs, "RETRY_SECONDS", 0)
    monkeypatch.setattr(jobs, "MAX_FAILED_STEPS", 1)
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 0)
    job = start_job(app, product)
    with failing(table, "UpdateItem", [THROTTLED] * 10_000) as calls:
        jobs.run(table, Bus(store.config), job.job_id)
    assert calls
    assert job_rows.read_job(table, job.job_id).is_idle
    jobs.run(table, Bus(store.config), job.job_id)
    assert_all_changed(client, users, product, NEW, T1)


def test_job_through_a_failing_network_changes_each_line_once(dynamodb_local_url, product):
    """A fifth of all requests gets some fault: each line is changed once, and the counts are right."""
    store = make_store("dynamodb-local", dynamodb_local_url)
    users = fill_carts(store, product, 200)
    with fault_proxy(dynamodb_local_url, seed=7) as proxy:
        app = create_app(replace(store.config, dynamodb_endpoint_url=proxy.url))
        table = app.extensions["cart_table"]
        job = start_job(app, product)
        proxy.rate = 0.2
        jobs.run(table, Bus(store.config), job.job_id)
        proxy.rate = 0.0
        proxy.settle()
        assert sum(proxy.counts.values()) - proxy.counts[None] > 20
        assert job_rows.read_job(table, job.job_id)[5:9] == ("done", 202, 201, 1)
    assert_all_changed(create_app(store.config).test_client(), users, product, NEW, T1)


# --- which carts hold a product


def all_carts(client, product: int, limit: int) -> list[dict[str, Any]]:
    carts: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        page = client.get(f"/products/{product}/carts", query_string=query).json
        assert page["product_id"] == product
        assert len(page["carts"]) <= limit
        carts += page["carts"]
        if page["next_cursor"] is None:
            return carts
        query["cursor"] = page["next_cursor"]


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_every_live_line_of_a_product_is_listed_once(client, store, product, limit):
    users = fill_carts(store, product, 7)
    carts = all_carts(client, product, limit)
    expected = [(user, "cart") for user in users] + [(f"{product}-saved", "saved")]
    assert sorted((cart["user_id"], cart["place"]) for cart in carts) == sorted(expected)
    assert {(cart["quantity"], cart["price"]) for cart in carts} == {(2, OLD)}


def test_user_with_cart_and_saved_line_is_listed_twice(client, user, store, product):
    store.put(user, product)
    store.put(user, product, **saved(product))
    for limit in (1, 2):
        assert sorted(cart["place"] for cart in all_carts(client, product, limit)) == ["cart", "saved"]


def test_product_in_no_cart_has_an_empty_list(client, product):
    assert client.get(f"/products/{product}/carts").json == {"product_id": product, "carts": [], "next_cursor": None}


def test_unprocessed_keys_of_the_list_are_read_again(client, store, table, product):
    fill_carts(store, product, 5)
    answers = []

    def keep_back(answer, **_):
        answers.append(1)
        if len(answers) <= 2:
            ((name, rows),) = answer["Responses"].items()
            keys = [{key: row[key] for key in ("user_id", "item_id")} for row in rows[1:]]
            answer["Responses"] = {name: rows[:1]}
            answer["UnprocessedKeys"] = {
                name: {"Keys": keys, "ProjectionExpression": "user_id", "ExpressionAttributeNames": {}}
            }

    with hooked(table, "after", keep_back, "BatchGetItem"):
        assert len(client.get(f"/products/{product}/carts").json["carts"]) == 6
    assert len(answers) == 3


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"offset": "1"}, "offset"),
        *(({"limit": text}, "limit") for text in ("0", "101", "-1", "x", "", "1.5", "1e400", "٣", "1000000000000")),
        *(
            ({"cursor": text}, "cursor")
            for text in ("", "x", "Y2FydCA", "é", "SVRFTSM0Mg", "Y2FydCBKT0JTI3ByaWNlcw", "Y2FydA", "_" * 500)
        ),
    ],
)
def test_invalid_limit_or_cursor_is_refused_with_its_field(client, product, query, field):
    """One of the cursors names JOBS#prices, which cannot be a user id."""
    answer = client.get(f"/products/{product}/carts", query_string=query)
    assert (answer.status_code, list(answer.get_json(force=True)["errors"])) == (422, [field])


def test_cursor_of_another_product_shows_no_other_product(client, store, product):
    fill_carts(store, product, 3)
    store.put(f"{product}-other", product + 1)
    cursor = client.get(f"/products/{product}/carts?limit=1").json["next_cursor"]
    answer = client.get(f"/products/{product + 1}/carts", query_string={"cursor": cursor})
    assert answer.status_code == 200
    assert {cart["user_id"] for cart in answer.json["carts"]} <= {f"{product}-other"}


def test_only_lines_are_in_the_product_index(client, app, store, product):
    """The job of a change has the product's id too."""
    start_job(app, product)
    index_page = store.client.query(
        TableName=store.config.dynamodb_table_name,
        IndexName="ProductIndex",
        KeyConditionExpression="product_id = :p",
        ExpressionAttributeValues={":p": {"N": str(product)}},
    )
    assert index_page["Items"] == []
