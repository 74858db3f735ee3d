"""The events that the service sends to EventBridge at least once, and those that it receives.

moto replaces EventBridge.
"""

import json
import random
import re
import time
import uuid
from dataclasses import replace
from decimal import Decimal
from itertools import count

import boto3
import pytest

import wsgi
from cart import create_app
from cart.events import price_changed, resume_price_changes
from cart.http.extensions import get_bus, get_table
from cart.prices import job_rows, jobs
from tests.support.crashes import Crashed, crashing
from tests.support.faults import LOST, THROTTLED
from tests.support.faulty_client import hooked
from tests.support.local_stage import CREDENTIALS, pattern_event, settings
from tests.support.price_changes import NEW, NEWER, T1, T2, fill_carts, line_of, price_change_of, saved

ENDS_WITHIN_SECONDS = 5


def aws(service: str, url: str):
    names = {name.lower(): value for name, value in CREDENTIALS.items()}
    return boto3.client(service, region_name="us-east-1", endpoint_url=url, **names)


class Listener:
    """A queue that receives the events of a bus that match a rule's pattern."""

    def __init__(self, url: str, pattern: dict, bus: str = "default") -> None:
        name = f"listener-{uuid.uuid4().hex[:8]}"
        self.sqs, events = aws("sqs", url), aws("events", url)
        if bus != "default":
            events.create_event_bus(Name=bus)
        self.queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]
        events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))
        targets = [{"Id": "1", "Arn": attributes["QueueArn"]}]
        events.put_targets(Rule=name, EventBusName=bus, Targets=targets)

    def received(self) -> list[dict]:
        """Return the events received since the last call, with exact numbers."""
        events: list[dict] = []
        while messages := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                events.append(json.loads(message["Body"], parse_float=Decimal))
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return events


@pytest.fixture
def shop(moto_store, moto_url, monkeypatch):
    """The service with a bus of its own, and a listener."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    name = f"carts-{uuid.uuid4().hex[:8]}"
    app = create_app(replace(moto_store.config, event_bus_name=name))
    listener = Listener(moto_url, {"detail-type": ["CartPriceChanged"]}, name)
    with app.app_context():
        yield app, listener


def carry_out(product: int, price: Decimal, changed_at: str) -> job_rows.Job:
    job = jobs.start(product, price, changed_at)
    jobs.run(get_table(), get_bus(), job.job_id)
    finished = job_rows.read_job(get_table(), job.job_id)
    assert finished
    return finished


def product_of(user: str) -> int:
    return int(user[-10:], 16)


def test_event_is_sent_for_each_affected_cart(shop, moto_store, user):
    _, listener = shop
    product = product_of(user)
    users = fill_carts(moto_store, product, 24)
    assert carry_out(product, NEW, T1).status == "done"
    events = listener.received()
    assert {event["detail-type"] for event in events} == {"CartPriceChanged"}
    assert {event["source"] for event in events} == {"cart"}
    details = {event["detail"]["user_id"]: event["detail"] for event in events}
    assert len(events) == len(users)
    assert details.keys() == set(users)  # not the expired cart, and not the saved line
    for event in users:
        detail = details[event]
        assert re.fullmatch(r"[0-9a-f]{32}", detail.pop("id"))
        assert detail == {
            "user_id": event,
            "product_id": product,
            "old_price": Decimal("19.99"),
            "new_price": NEW,
            "changed_at": T1,
            "environment": "dev",
        }
    carry_out(product, NEWER, "2025-01-01T00:00:00.000000Z")  # older: no cart is affected
    assert listener.received() == []


def test_event_id_is_the_same_only_for_the_same_change(shop, moto_store, user, monkeypatch):
    _, listener = shop
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 0)
    product = product_of(user)
    fill_carts(moto_store, product, 3)
    carry_out(product, NEW, T1)
    first_ids = {event["detail"]["id"] for event in listener.received()}
    table = get_table()
    job = jobs.start(product, NEW, T1)
    moto_store.client.delete_item(
        TableName=table.name, Key={"user_id": {"S": f"JOB#{job.job_id}"}, "item_id": {"S": "JOB"}}
    )
    carry_out(product, NEW, T1)  # the whole job again
    assert {event["detail"]["id"] for event in listener.received()} == first_ids
    carry_out(product, NEWER, T2)
    other_ids = {event["detail"]["id"] for event in listener.received()}
    assert len(first_ids) == len(other_ids) == 3
    assert not first_ids & other_ids


def test_events_are_sent_in_batches_and_refused_ones_again(shop, moto_store, user):
    """EventBridge may accept some entries of a batch and refuse the others."""
    _, listener = shop
    product = product_of(user)
    users = fill_carts(moto_store, product, 24)
    sizes: list[int] = []
    bus = get_bus()

    def send_some(params, **_):
        """Send only one of each of the first three batches, and report the others as failed."""
        sizes.append(len(params["Entries"]))
        send_some.failed_count = len(params["Entries"]) - 1 if len(sizes) <= 3 else 0
        return params | {"Entries": params["Entries"][: len(params["Entries"]) - send_some.failed_count]}

    def report(answer, **_):
        answer["Entries"] += [{"ErrorCode": "ThrottlingException", "ErrorMessage": "secret"}] * send_some.failed_count
        answer["FailedEntryCount"] = send_some.failed_count

    bus.client.on("change", send_some, "PutEvents")
    bus.client.on("after", report, "PutEvents")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "WORKERS", 1)
        carry_out(product, NEW, T1)
    assert sizes == [10, 9, 8, 7, 10, 4]
    users_of_events = [event["detail"]["user_id"] for event in listener.received()]
    assert sorted(users_of_events) == sorted(users)


@pytest.mark.parametrize("error", [THROTTLED, LOST], ids=["throttled", "lost"])
def test_events_are_sent_again_after_a_failure(shop, moto_store, user, error):
    _, listener = shop
    product = product_of(user)
    users = fill_carts(moto_store, product, 3)
    errors = [error] * 3

    def fail(**_):
        if errors:
            raise errors.pop()

    get_bus().client.on("before", fail, "PutEvents")
    assert carry_out(product, NEW, T1).status == "done"
    assert {event["detail"]["user_id"] for event in listener.received()} == set(users)


def test_cursor_waits_while_eventbridge_is_unreachable(shop, moto_store, user, monkeypatch):
    _, listener = shop
    for name, value in (("RETRY_SECONDS", 0), ("LEASE_SECONDS", 0), ("MAX_FAILED_STEPS", 1)):
        monkeypatch.setattr(jobs, name, value)
    monkeypatch.setattr("cart.dynamodb.retries.RETRY_FOR_SECONDS", 0)
    product = product_of(user)
    users = fill_carts(moto_store, product, 3)

    def fail(**_):
        raise LOST

    with hooked(get_bus(), "before", fail, "PutEvents"):
        unfinished_job = carry_out(product, NEW, T1)
    assert (unfinished_job.status, unfinished_job.seen) == ("running", 0)
    assert listener.received() == []
    assert carry_out(product, NEW, T1)[5:9] == ("done", 5, 4, 1)
    assert {event["detail"]["user_id"] for event in listener.received()} == set(users)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("service", ["dynamodb", "events"])
def test_crashed_run_sends_each_event_at_least_once(shop, moto_store, monkeypatch, service, moment):
    """It crashes at each request of either service: an event is sent at least once for every cart."""
    _, listener = shop
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 0)
    monkeypatch.setattr(jobs, "PAGE_LINES", 2)
    table, bus = get_table(), get_bus()
    for point in count():
        product = random.randrange(1, 2**50)
        users = fill_carts(moto_store, product, 2)
        job = jobs.start(product, NEW, T1)
        try:
            with crashing(table if service == "dynamodb" else bus, moment, point):
                jobs.run(table, bus, job.job_id)
        except Crashed:
            pass
        else:
            break
        jobs.run(table, bus, job.job_id)
        events = [event["detail"] for event in listener.received()]
        assert {event["user_id"] for event in events} == set(users)
        assert len({event["id"] for event in events}) == len(users)
    assert point >= (7 if service == "dynamodb" else 1)


def test_without_a_bus_no_event_is_sent_and_no_client_made(moto_store, user):
    app = create_app(moto_store.config)
    fill_carts(moto_store, product_of(user), 3)
    with app.app_context():
        assert carry_out(product_of(user), NEW, T1).status == "done"
        assert "client" not in vars(get_bus())


# --- received events


@pytest.fixture
def on_lambda(shop, moto_url, monkeypatch):
    """The function of the stage, and a listener for the events that it sends to itself."""
    app, _ = shop
    monkeypatch.setattr(wsgi, "app", app)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "cart-dev")
    (source,) = [entry["event_source"] for entry in settings()["dev"]["events"] if "event_source" in entry]
    listener = Listener(moto_url, source["event_pattern"])
    return app, listener


def test_received_event_changes_the_price(on_lambda, moto_store, user):
    app, listener = on_lambda
    product = product_of(user)
    moto_store.put(user, product)
    moto_store.put(user, product, **saved(product))
    # as Lambda's runtime reads it: a number is a float
    detail = {"product_id": product, "price": 21.5, "changed_at": "2026-01-01T00:00:00Z", "reason": "spring"}
    for _ in range(2):
        price_changed(pattern_event("ProductPriceChanged", detail), None)
    assert price_change_of(line_of(app.test_client(), user)) == (NEW, T1)
    assert line_of(app.test_client(), user)["version"] == 2
    assert listener.received() == []  # finished in one step


@pytest.mark.parametrize(
    "invalid_fields",
    [
        *({"price": 1.005}, {"price": "1"}, {"price": None}, {"price": 0}, {"product_id": 0}),
        *({"product_id": None}, {"changed_at": "2999-01-01T00:00:00Z"}, {"changed_at": None}, {"changed_at": "soon"}),
    ],
)
def test_invalid_event_is_logged_and_ignored(on_lambda, moto_store, user, invalid_fields, capsys):
    product = product_of(user)
    moto_store.put(user, product)
    before = moto_store.rows(user)
    valid = {"product_id": product, "price": 21.5, "changed_at": "2026-01-01T00:00:00Z"}
    price_changed(pattern_event("ProductPriceChanged", valid | invalid_fields), None)
    assert next(iter(invalid_fields)) in capsys.readouterr().out
    assert moto_store.rows(user) == before


def test_each_step_requests_the_next_by_an_event(on_lambda, moto_store, user, monkeypatch):
    """Each step is one invocation that ends by requesting the next; a late one has nothing to do."""
    app, listener = on_lambda
    monkeypatch.setattr(jobs, "PAGE_LINES", 3)
    monkeypatch.setattr(jobs, "STEP_SECONDS", 0)
    product = product_of(user)
    users = fill_carts(moto_store, product, 10)
    answer = app.test_client().put(f"/products/{product}/price", json={"price": 21.5, "changed_at": T1})
    assert answer.status_code == 202
    events = listener.received()
    steps = []
    while events:
        (step,) = events
        assert (step["source"], step["detail-type"]) == ("cart", "PriceChangeStep-dev")
        assert step["detail"] == {"job_id": answer.json["job_id"]}
        steps.append(step)
        price_changed(step, None)
        events = listener.received()
    assert len(steps) in (4, 5)  # 12 lines: an engine may need an empty page to see the end
    assert app.test_client().get(answer.headers["Location"]).json["changed"] == len(users) + 1
    price_changed(steps[0], None)
    assert listener.received() == []


def test_job_is_made_although_eventbridge_is_unreachable(on_lambda, moto_store, user, monkeypatch):
    """It is made within the time of a request; the schedule continues it."""
    app, listener = on_lambda
    product = product_of(user)
    moto_store.put(user, product)

    def fail(**_):
        raise LOST

    with hooked(get_bus(), "before", fail, "PutEvents"):
        started = time.monotonic()
        answer = app.test_client().put(f"/products/{product}/price", json={"price": 21.5})
        assert time.monotonic() - started < ENDS_WITHIN_SECONDS
        assert (answer.status_code, answer.json["status"]) == (202, "running")
    resume_price_changes({}, None)
    assert answer.json["job_id"] in {event["detail"]["job_id"] for event in listener.received()}


def test_unfinished_job_is_continued_by_the_schedule(on_lambda, moto_store, user, monkeypatch):
    _, listener = on_lambda
    monkeypatch.setattr(jobs, "PAGE_LINES", 3)
    product = product_of(user)
    fill_carts(moto_store, product, 4)
    job = jobs.start(product, NEW, T1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "STEP_SECONDS", 0)
        assert jobs.run_step(get_table(), get_bus(), job.job_id)
    listener.received()
    resume_price_changes({}, None)
    steps = [event for event in listener.received() if event["detail"]["job_id"] == job.job_id]
    assert len(steps) == 1
    price_changed(steps[0], None)
    assert job_rows.read_job(get_table(), job.job_id).status == "done"
