"""A price that changes reaches every line of the product, once and in any order; shoppers see it, and accept it."""

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
from tests.support.crashes import Died, dying
from tests.support.fault_proxy import fault_proxy
from tests.support.faults import GARBLED, LOST, THROTTLED
from tests.support.faulty_client import failing, hooked
from tests.support.price_changes import EXPIRED, NEW, NEWER, OLD, T1, T2, T3, filled, line_of, news, saved
from tests.support.stores import CUP, make_store

ENDS_WITHIN_SECONDS = 30


@pytest.fixture
def product() -> int:
    """Of one test alone: a change reaches all who have it."""
    return random.randrange(1, 2**50)


@pytest.fixture
def change(app, table, product):
    """``change(price, changed_at)`` carries a change out, here and now; the value is the job when it is done."""

    def carry_out(price: Decimal, changed_at: str, product_id: int = product) -> Job:
        with app.app_context():
            job = jobs.start(product_id, price, changed_at)
        jobs.run(table, Bus(app.extensions["cart_config"]), job.job_id)
        done = job_rows.read_job(table, job.job_id)
        assert done
        return done

    return carry_out


# --- what shoppers see


def test_the_cart_shows_what_has_changed_and_its_totals_do_not(client, user, store, product, change):
    store.put(user, product)
    store.put(user, product, **saved(product))
    store.put(user, product + 1)
    before = client.get(f"/cart/{user}?include=saved")
    assert before.json["price_changes"] == 0
    assert change(NEW, T1)[5:9] == ("done", 2, 2, 0)
    cart = client.get(f"/cart/{user}?include=saved")
    lines = {line["product_id"]: line for line in cart.json["items"]}
    assert news(lines[product]) == news(cart.json["saved"][0]) == (NEW, T1)
    assert news(lines[product + 1]) is None
    assert cart.json["price_changes"] == 1
    assert {line["price"] for line in lines.values()} == {OLD}
    assert cart.json["total_price"] == before.json["total_price"]
    assert cart.headers["ETag"] != before.headers["ETag"]
    token = client.post(f"/cart/{user}/shares", json={}).json["token"]
    assert client.get(f"/shared/{token}").json["price_changes"] == 1


def test_a_change_is_a_new_version_and_no_new_life(client, user, store, product, change):
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
    assert (refused.status_code, news(refused.get_json(force=True)["current"])) == (412, (NEW, T1))


def test_what_is_gone_or_expired_stays_so(client, user, store, table, product, change):
    store.put(user, product, ttl=EXPIRED)
    before = store.rows(user)
    gone = f"gone-{user}"
    store.put(gone, product)

    def remove(**_):
        """Between the index and the line."""
        store.client.delete_item(
            TableName=table.name, Key={"user_id": {"S": gone}, "item_id": {"S": f"ITEM#{product}"}}
        )

    with hooked(table, "after", remove, "Query"):
        assert change(NEW, T1)[6:9] == (2, 0, 2)
    assert store.rows(user) == before
    assert store.rows(gone) == []


def test_a_price_that_goes_back_is_no_news(client, user, store, product, change):
    store.put(user, product)
    for price, changed_at, expected in ((NEW, T1, (NEW, T1)), (OLD, T2, None), (NEWER, T3, (NEWER, T3))):
        change(price, changed_at)
        assert news(line_of(client, user)) == expected
        assert client.get(f"/cart/{user}").json["price_changes"] == (expected is not None)


# --- the newest wins


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_in_any_order_the_newest_wins(client, user, store, product, change, order):
    store.put(user, product)
    events = [(NEW, T1), (Decimal(5), T2), (NEWER, T3)]
    for number in order:
        change(*events[number])
    assert news(line_of(client, user)) == (NEWER, T3)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_at_one_moment_all_carts_have_the_same(client, user, store, product, change, order):
    store.put(user, product)
    for price in (NEW, NEWER)[::order]:
        change(price, T1)
    assert news(line_of(client, user)) == (NEW, T1)


def test_events_that_come_twice_and_in_disorder_from_threads(real_store, product):
    """30 changes, each twice, by 8 threads, to 20 carts that shoppers are at: all come to the newest."""
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
        assert news(line) == (Decimal(15), moments[-1])
        assert line["quantity"] == (number if 1 <= number <= 15 else 2)


def jobs_of(table, product: int) -> list[Job]:
    return [job for job in job_rows.unfinished_jobs(table) if job.product_id == product]


def wait_until(is_so) -> None:
    deadline = time.monotonic() + ENDS_WITHIN_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_same_change_twice_is_one_job_and_one_version(client, user, store, product, change):
    store.put(user, product)
    first = change(NEW, T1)
    version = line_of(client, user)["version"]
    assert change(NEW, T1) == first
    assert line_of(client, user)["version"] == version


# --- what becomes of it when the line is given a price


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["no key", "key"])
@pytest.mark.parametrize(("price", "shown"), [(OLD, (NEW, T2)), (NEW, None), (Decimal(7), None)])
def test_an_add_with_another_price_ends_the_news(client, user, store, product, change, price, shown, headers):
    """One with the old price, as a page that was loaded before it changed sends it, does not."""
    store.put(user, product)
    change(NEW, T2)
    body = CUP | {"product_id": product, "price": price, "quantity": 1}
    answer = client.post(f"/cart/{user}/items", json=body, headers=headers)
    assert answer.json["price"] == price
    assert news(answer.json) == shown
    change(NEWER, T1)  # late, and older: it would undo what is known
    line = line_of(client, user)
    assert (news(line), line["quantity"]) == (shown, 3)
    change(NEWER, T3)
    assert news(line_of(client, user)) == (NEWER, T3)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["no key", "key"])
def test_an_expired_line_that_is_added_again_knows_of_no_change(client, user, store, product, change, headers):
    store.put(user, product)
    change(NEW, T3)
    store.expire(user)
    answer = client.post(f"/cart/{user}/items", json=CUP | {"product_id": product}, headers=headers)
    assert news(answer.json) is None
    (row,) = [row for row in store.rows(user) if "product_id" in row]
    assert not row.keys() & {"current_price", "price_changed_at", "price_changed_from"}
    change(NEWER, T1)
    assert news(line_of(client, user)) == (NEWER, T1)


def test_a_move_takes_it_along_and_leaves_nothing_behind(client, user, store, product, change):
    store.put(user, product)
    change(NEW, T2)
    moved = client.post(f"/cart/{user}/items/{product}/save-for-later")
    assert news(moved.json) == (NEW, T2)
    # over an expired line that knew of another change
    store.put(
        user,
        product,
        ttl=EXPIRED,
        current_price={"N": "1"},
        price_changed_at={"S": T3},
        price_changed_from={"N": "19.99"},
    )
    back = client.post(f"/cart/{user}/saved/{product}/move-to-cart")
    assert news(back.json) == (NEW, T2)
    assert news(line_of(client, user)) == (NEW, T2)


@pytest.mark.parametrize("newer_is_in", ["source", "target"])
def test_a_merge_keeps_the_newest_change(client, user, store, product, newer_is_in):
    for who, is_newer in ((f"guest-{user}", newer_is_in == "source"), (user, newer_is_in == "target")):
        price, changed_at = (NEWER, T3) if is_newer else (NEW, T1)
        store.put(
            who,
            product,
            current_price={"N": str(price)},
            price_changed_at={"S": changed_at},
            price_changed_from={"N": "19.99"},
        )
    merged = client.post(f"/cart/{user}/merge", json={"source_user_id": f"guest-{user}"})
    assert news(merged.json["cart"]["items"][0]) == news(line_of(client, user)) == (NEWER, T3)
    assert merged.json["cart"]["price_changes"] == 1


@pytest.mark.parametrize("order", [[("guest-", 5), ("", 7)], [("", 7), ("guest-", 5)]])
def test_a_merge_of_lines_with_the_same_change_shows_it(client, user, product, change, order):
    """Whichever line is newer, its price holds, and the change is one of that price."""
    for prefix, price in order:
        body = CUP | {"product_id": product, "price": price}
        assert client.post(f"/cart/{prefix}{user}/items", json=body).status_code == 201
    change(NEW, T2)
    merged = client.post(f"/cart/{user}/merge", json={"source_user_id": f"guest-{user}"})
    (line,) = merged.json["cart"]["items"]
    assert line["price"] == order[-1][1]
    assert news(line) == news(line_of(client, user)) == (NEW, T2)


@pytest.mark.parametrize("newer_is_in", ["source", "target"])
def test_of_one_change_in_both_lines_that_of_the_newer_price_holds(client, user, store, product, change, newer_is_in):
    """The older line has the new price already, so that its record of the change would show no news."""
    source_price, target_price = (OLD, NEW) if newer_is_in == "source" else (NEW, OLD)
    given_at = {OLD: {"S": T2}, NEW: {"S": T1}}
    for row, price in ((saved(product), source_price), ({}, target_price)):
        store.put(user, product, price={"N": str(price)}, priced_at=given_at[price], **row)
    change(NEW, T3)
    moved = client.post(f"/cart/{user}/saved/{product}/move-to-cart")
    assert (moved.json["price"], news(moved.json)) == (OLD, (NEW, T3))
    assert news(line_of(client, user)) == (NEW, T3)


def test_a_merge_over_an_expired_line_takes_nothing_of_its_change(client, user, store, product):
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
    assert news(line_of(client, user)) is None


# --- accept


@pytest.mark.parametrize("body", [None, {}, "some"])
def test_accept(client, user, store, product, change, body):
    for number in range(3):
        store.put(user, product + number)
    change(NEW, T1)
    change(NEWER, T1, product + 1)
    given = {"json": {"product_ids": [product, product + 2, 7]} if body == "some" else body} if body != None else {}  # noqa: E711
    accepted = client.post(f"/cart/{user}/price-changes/accept", **given)
    expected = {product: NEW, product + 1: OLD if body == "some" else NEWER, product + 2: OLD}
    assert {line["product_id"]: line["price"] for line in accepted.json["items"]} == expected
    assert accepted.json["price_changes"] == (body == "some")
    assert accepted.json["total_price"] == 2 * sum(expected.values())
    read = client.get(f"/cart/{user}")
    assert (read.json, read.headers["ETag"]) == (accepted.json, accepted.headers["ETag"])
    again = client.post(f"/cart/{user}/price-changes/accept", **given)
    assert (again.json, again.headers["ETag"]) == (accepted.json, accepted.headers["ETag"])
    change(Decimal(1), "2025-01-01T00:00:00.000000Z")  # late, and older than what was accepted
    assert line_of_product(client, user, product)["price"] == NEW
    assert news(line_of_product(client, user, product)) is None


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
def test_accept_refuses(client, user, body, field):
    answer = client.post(f"/cart/{user}/price-changes/accept", json=body)
    assert (answer.status_code, list(answer.get_json(force=True)["errors"])) == (422, [field])


def test_nothing_is_accepted_that_was_not_read(client, user, store, product, change):
    """With If-Match, also where the change comes between the read and the write."""
    store.put(user, product)
    change(NEW, T1)
    path, if_match = f"/cart/{user}/price-changes/accept", {"If-Match": client.get(f"/cart/{user}").headers["ETag"]}
    table = client.application.extensions["cart_table"]
    came = []

    def change_now(**_):
        if not came:
            came.append(1)
            change(NEWER, T2)

    with hooked(table, "before", change_now, "TransactWriteItems"):
        refused = client.post(path, headers=if_match)
    assert came
    assert refused.status_code == 412
    assert news(refused.get_json(force=True)["current"]["items"][0]) == (NEWER, T2)
    assert line_of(client, user)["price"] == OLD
    current = {"If-Match": client.get(f"/cart/{user}").headers["ETag"]}
    assert client.post(path, headers=current).json["items"][0]["price"] == NEWER


def test_accepts_race_changes_and_adds(real_store, product):
    """Whatever the order, no unit is lost, and in the end the last change is shown or accepted."""
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


def test_a_change_over_http_is_a_job_that_can_be_looked_up(client, user, store, product):
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
    assert news(line_of(client, user)) == (NEW, T1)
    again = client.put(f"/products/{product}/price", json={"price": 21.5, "changed_at": T1})
    assert (again.status_code, again.json) == (202, client.get(path).json)
    for other in (f"/products/{product}/price-changes/{'0' * 32}", path.replace(str(product), "7")):
        missing = client.get(other)
        assert (missing.status_code, missing.get_json(force=True)["type"]) == (404, "urn:cart:problem:job-not-found")


def test_without_a_moment_it_is_now(client, user, store, product):
    store.put(user, product)
    before = time.time()
    answer = client.put(f"/products/{product}/price", json={"price": 1})
    wait_until(lambda: news(line_of(client, user)) is not None)
    assert news(line_of(client, user)) == (1, answer.json["changed_at"])
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
def test_what_is_no_change_is_refused(client, table, product, body, field):
    asked: list[Any] = []
    with hooked(table, "before", lambda **_: asked.append(1)):
        answer = client.put(f"/products/{product}/price", json=body)
    assert (answer.status_code, list(answer.get_json(force=True)["errors"])) == (422, [field])
    assert not asked


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(jobs, "PAGE_LINES", 3)


@pytest.fixture
def short_steps(small_pages, monkeypatch):
    """Of one page."""
    monkeypatch.setattr(jobs, "STEP_SECONDS", 0)


def assert_all_changed(client, users: list[str], product: int, price: Decimal, changed_at: str) -> None:
    for user in users:
        line = line_of(client, user)
        assert news(line) == (price, changed_at)
        assert line["version"] == 2  # once
    assert news(client.get(f"/cart/{product}-saved/saved").json["items"][0]) == (price, changed_at)


def started(app, product: int) -> Job:
    with app.app_context():
        return jobs.start(product, NEW, T1)


def test_a_step_ends_in_time_and_the_next_goes_on(app, client, store, table, product, short_steps):
    users = filled(store, product, 10)
    job = started(app, product)
    bus, pages = Bus(store.config), 0
    while jobs.run_step(table, bus, job.job_id):
        pages += 1
        kept = job_rows.read_job(table, job.job_id)
        assert (kept.seen, kept.status, kept.is_idle) == (3 * pages, "running", True)
    assert pages in (3, 4)  # 12 lines: an engine may not know that a page was the last
    assert job_rows.read_job(table, job.job_id)[5:9] == ("done", 12, 11, 1)
    assert_all_changed(client, users, product, NEW, T1)


def test_a_run_that_dies_goes_on_from_its_cursor(app, client, store, table, monkeypatch, small_pages):
    """At every request, before it is sent and after it was carried out: the job, each page and line, each cursor."""
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 0)
    monkeypatch.setattr(jobs, "PAGE_LINES", 2)
    bus, deaths = Bus(store.config), 0
    for moment in ("before", "after"):
        for point in itertools.count():
            product = random.randrange(1, 2**50)
            users = filled(store, product, 3)
            job = started(app, product)
            with dying(table, moment, point):
                try:
                    jobs.run(table, bus, job.job_id)
                except Died:
                    deaths += 1
                else:
                    break
            left = job_rows.read_job(table, job.job_id)
            assert left.seen in (0, 2, 4, 5)
            jobs.run(table, bus, job.job_id)
            done = job_rows.read_job(table, job.job_id)
            assert done[5:9] == ("done", 5, 4, 1), (moment, point)
            assert_all_changed(client, users, product, NEW, T1)
            assert jobs_of(table, product) == []
    assert deaths >= 2 * (1 + 3 + 5 + 3)


def test_only_one_is_at_a_job(app, store, table, product, small_pages):
    filled(store, product, 4)
    job = started(app, product)
    mine = job_rows.lease_job(table, job.job_id, "me", 60)
    assert mine
    assert job_rows.lease_job(table, job.job_id, "me", 60)  # the first answer may have been lost
    assert job_rows.lease_job(table, job.job_id, "you", 60) is None
    assert not jobs.run_step(table, Bus(store.config), job.job_id)
    assert job_rows.read_job(table, job.job_id).seen == 0
    assert job_rows.save_job(table, mine._replace(lease_until=0), "me")
    assert job_rows.lease_job(table, job.job_id, "you", 60)
    assert not job_rows.save_job(table, mine._replace(seen=100), "me")  # who was too slow does not undo it
    assert job_rows.read_job(table, job.job_id).seen == 0


@pytest.mark.parametrize("how", ["get", "put", "resume"])
def test_somebody_else_goes_on_with_what_was_left(app, client, store, table, product, short_steps, how):
    users = filled(store, product, 4)
    job = started(app, product)
    assert jobs.run_step(table, Bus(store.config), job.job_id)
    path = f"/products/{product}/price-changes/{job.job_id}"
    if how == "put":
        client.put(f"/products/{product}/price", json={"price": NEW, "changed_at": T1})
    elif how == "resume":
        ended = app.test_cli_runner().invoke(args=["prices", "resume"])
        assert ended.exit_code == 0, ended.output
        assert f"{job.job_id} product {product}: done, 6 lines seen, 5 changed" in ended.output
        assert job_rows.read_job(table, job.job_id).status == "done"
    wait_until(lambda: client.get(path).json["status"] == "done")
    assert_all_changed(client, users, product, NEW, T1)


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("operation", ["UpdateItem", "Query"])
@pytest.mark.parametrize("error", [THROTTLED, LOST, GARBLED], ids=["throttled", "lost", "garbled"])
def test_what_fails_is_done_again(app, client, store, table, product, change, error, operation, applied):
    """A line whose answer was lost is not changed twice."""
    users = filled(store, product, 6)
    with failing(table, operation, [error] * 3, applied) as calls:
        assert change(NEW, T1)[5:9] == ("done", 8, 7, 1)
    assert len(calls) > 3
    assert_all_changed(client, users, product, NEW, T1)


def test_throttled_for_long_is_left_to_be_resumed(app, client, store, table, product, monkeypatch):
    users = filled(store, product, 3)
    monkeypatch.setattr(jobs, "RETRY_SECONDS", 0)
    monkeypatch.setattr(jobs, "MAX_FAILED_STEPS", 1)
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 0)
    job = started(app, product)
    with failing(table, "UpdateItem", [THROTTLED] * 10_000) as calls:
        jobs.run(table, Bus(store.config), job.job_id)
    assert calls
    assert job_rows.read_job(table, job.job_id).is_idle
    jobs.run(table, Bus(store.config), job.job_id)
    assert_all_changed(client, users, product, NEW, T1)


def test_through_a_network_that_fails(dynamodb_local_url, product):
    """A fifth of all requests meets one fault or another: each line is changed once, and the counts are right."""
    store = make_store("dynamodb-local", dynamodb_local_url)
    users = filled(store, product, 200)
    with fault_proxy(dynamodb_local_url, seed=7) as proxy:
        app = create_app(replace(store.config, dynamodb_endpoint_url=proxy.url))
        table = app.extensions["cart_table"]
        job = started(app, product)
        proxy.rate = 0.2
        jobs.run(table, Bus(store.config), job.job_id)
        proxy.rate = 0.0
        proxy.settle()
        assert sum(proxy.counts.values()) - proxy.counts[None] > 20
        assert job_rows.read_job(table, job.job_id)[5:9] == ("done", 202, 201, 1)
    assert_all_changed(create_app(store.config).test_client(), users, product, NEW, T1)


# --- which carts hold a product


def all_carts(client, product: int, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        page = client.get(f"/products/{product}/carts", query_string=query).json
        assert page["product_id"] == product
        assert len(page["carts"]) <= limit
        found += page["carts"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_every_live_line_is_listed_once(client, store, product, limit):
    users = filled(store, product, 7)
    found = all_carts(client, product, limit)
    expected = [(user, "cart") for user in users] + [(f"{product}-saved", "saved")]
    assert sorted((one["user_id"], one["place"]) for one in found) == sorted(expected)
    assert {(one["quantity"], one["price"]) for one in found} == {(2, OLD)}


def test_who_has_both_is_listed_twice(client, user, store, product):
    store.put(user, product)
    store.put(user, product, **saved(product))
    for limit in (1, 2):
        assert sorted(one["place"] for one in all_carts(client, product, limit)) == ["cart", "saved"]


def test_a_product_that_nobody_has(client, product):
    assert client.get(f"/products/{product}/carts").json == {"product_id": product, "carts": [], "next_cursor": None}


def test_what_dynamodb_did_not_get_to_is_asked_for_again(client, store, table, product):
    filled(store, product, 5)
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
        *(({"limit": text}, "limit") for text in ("0", "101", "-1", "x", "", "1.0", "٣", "1000000000000")),
        *(
            ({"cursor": text}, "cursor")
            for text in ("", "x", "Y2FydCA", "é", "SVRFTSM0Mg", "Y2FydCBKT0JTI3ByaWNlcw", "Y2FydA", "_" * 500)
        ),
    ],
)
def test_a_bad_limit_or_cursor_is_named(client, product, query, field):
    """Such as one that says JOBS#prices, which no user can have."""
    answer = client.get(f"/products/{product}/carts", query_string=query)
    assert (answer.status_code, list(answer.get_json(force=True)["errors"])) == (422, [field])


def test_a_cursor_of_another_product_leads_to_no_other(client, store, product):
    filled(store, product, 3)
    store.put(f"{product}-other", product + 1)
    cursor = client.get(f"/products/{product}/carts?limit=1").json["next_cursor"]
    answer = client.get(f"/products/{product + 1}/carts", query_string={"cursor": cursor})
    assert answer.status_code == 200
    assert {one["user_id"] for one in answer.json["carts"]} <= {f"{product}-other"}


def test_what_is_not_a_line_is_not_in_the_index(client, app, store, product):
    """The job of a change is about the product too."""
    started(app, product)
    found = store.client.query(
        TableName=store.config.dynamodb_table_name,
        IndexName="ProductIndex",
        KeyConditionExpression="product_id = :p",
        ExpressionAttributeValues={":p": {"N": str(product)}},
    )
    assert found["Items"] == []
