"""Word goes out over EventBridge, at least once; and what comes in over it. moto stands in for EventBridge."""

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
from tests.support.crashes import Died, dying
from tests.support.faults import LOST, THROTTLED
from tests.support.faulty_client import hooked
from tests.support.local_stage import CREDENTIALS, pattern_event, settings
from tests.support.price_changes import NEW, NEWER, T1, T2, filled, line_of, news, saved

ENDS_WITHIN_SECONDS = 5


def aws(service: str, url: str):
    names = {name.lower(): value for name, value in CREDENTIALS.items()}
    return boto3.client(service, region_name="us-east-1", endpoint_url=url, **names)


class Listener:
    """A queue that hears of what a rule's pattern matches on a bus."""

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

    def heard(self) -> list[dict]:
        """All that came since the last time, each with its numbers exact."""
        found: list[dict] = []
        while messages := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            for one in messages:
                found.append(json.loads(one["Body"], parse_float=Decimal))
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=one["ReceiptHandle"])
        return found


@pytest.fixture
def shop(moto_store, moto_url, monkeypatch):
    """The service with a bus of its own, and who listens to it."""
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
    done = job_rows.read_job(get_table(), job.job_id)
    assert done
    return done


def product_of(user: str) -> int:
    return int(user[-10:], 16)


def test_each_cart_that_is_affected_is_told_of(shop, moto_store, user):
    _, listener = shop
    product = product_of(user)
    users = filled(moto_store, product, 24)
    assert carry_out(product, NEW, T1).status == "done"
    heard = listener.heard()
    assert {one["detail-type"] for one in heard} == {"CartPriceChanged"}
    assert {one["source"] for one in heard} == {"cart"}
    details = {one["detail"]["user_id"]: one["detail"] for one in heard}
    assert len(heard) == len(users)
    assert details.keys() == set(users)  # not the expired, and not what is saved
    for one in users:
        detail = details[one]
        assert re.fullmatch(r"[0-9a-f]{32}", detail.pop("id"))
        assert detail == {
            "user_id": one,
            "product_id": product,
            "old_price": Decimal("19.99"),
            "new_price": NEW,
            "changed_at": T1,
            "environment": "dev",
        }
    carry_out(product, NEWER, "2025-01-01T00:00:00.000000Z")  # older: nobody is affected
    assert listener.heard() == []


def test_the_id_is_the_same_for_the_same_word_alone(shop, moto_store, user, monkeypatch):
    _, listener = shop
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 0)
    product = product_of(user)
    filled(moto_store, product, 3)
    carry_out(product, NEW, T1)
    first = {one["detail"]["id"] for one in listener.heard()}
    table = get_table()
    job = jobs.start(product, NEW, T1)
    moto_store.client.delete_item(
        TableName=table.name, Key={"user_id": {"S": f"JOB#{job.job_id}"}, "item_id": {"S": "JOB"}}
    )
    carry_out(product, NEW, T1)  # all over again
    assert {one["detail"]["id"] for one in listener.heard()} == first
    carry_out(product, NEWER, T2)
    others = {one["detail"]["id"] for one in listener.heard()}
    assert len(first) == len(others) == 3
    assert not first & others


def test_they_go_in_batches_and_what_is_not_taken_goes_again(shop, moto_store, user):
    """EventBridge may take some of a batch and refuse the others."""
    _, listener = shop
    product = product_of(user)
    users = filled(moto_store, product, 24)
    sizes: list[int] = []
    bus = get_bus()

    def send_some(params, **_):
        """Take away all but one of the first three batches, and say that they failed."""
        sizes.append(len(params["Entries"]))
        send_some.kept = len(params["Entries"]) - 1 if len(sizes) <= 3 else 0
        return params | {"Entries": params["Entries"][: len(params["Entries"]) - send_some.kept]}

    def report(answer, **_):
        answer["Entries"] += [{"ErrorCode": "ThrottlingException", "ErrorMessage": "secret"}] * send_some.kept
        answer["FailedEntryCount"] = send_some.kept

    bus.client.on("change", send_some, "PutEvents")
    bus.client.on("after", report, "PutEvents")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "WORKERS", 1)
        carry_out(product, NEW, T1)
    assert sizes == [10, 9, 8, 7, 10, 4]
    heard = [one["detail"]["user_id"] for one in listener.heard()]
    assert sorted(heard) == sorted(users)


@pytest.mark.parametrize("error", [THROTTLED, LOST], ids=["throttled", "lost"])
def test_a_bus_that_fails_is_asked_again(shop, moto_store, user, error):
    _, listener = shop
    product = product_of(user)
    users = filled(moto_store, product, 3)
    left = [error] * 3

    def fail(**_):
        if left:
            raise left.pop()

    get_bus().client.on("before", fail, "PutEvents")
    assert carry_out(product, NEW, T1).status == "done"
    assert {one["detail"]["user_id"] for one in listener.heard()} == set(users)


def test_the_cursor_waits_for_a_bus_that_is_away(shop, moto_store, user, monkeypatch):
    _, listener = shop
    for name, value in (("RETRY_SECONDS", 0), ("LEASE_SECONDS", 0), ("MAX_FAILED_STEPS", 1)):
        monkeypatch.setattr(jobs, name, value)
    monkeypatch.setattr("cart.dynamodb.retries.RETRY_FOR_SECONDS", 0)
    product = product_of(user)
    users = filled(moto_store, product, 3)

    def fail(**_):
        raise LOST

    with hooked(get_bus(), "before", fail, "PutEvents"):
        left = carry_out(product, NEW, T1)
    assert (left.status, left.seen) == ("running", 0)
    assert listener.heard() == []
    assert carry_out(product, NEW, T1)[5:9] == ("done", 5, 4, 1)
    assert {one["detail"]["user_id"] for one in listener.heard()} == set(users)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("service", ["dynamodb", "events"])
def test_who_dies_has_told_or_the_next_one_tells(shop, moto_store, monkeypatch, service, moment):
    """At each request of either service: every cart is told of at least once, whatever was done before."""
    _, listener = shop
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 0)
    monkeypatch.setattr(jobs, "PAGE_LINES", 2)
    table, bus = get_table(), get_bus()
    for point in count():
        product = random.randrange(1, 2**50)
        users = filled(moto_store, product, 2)
        job = jobs.start(product, NEW, T1)
        try:
            with dying(table if service == "dynamodb" else bus, moment, point):
                jobs.run(table, bus, job.job_id)
        except Died:
            pass
        else:
            break
        jobs.run(table, bus, job.job_id)
        heard = [one["detail"] for one in listener.heard()]
        assert {one["user_id"] for one in heard} == set(users)
        assert len({one["id"] for one in heard}) == len(users)
    assert point >= (7 if service == "dynamodb" else 1)


def test_without_a_bus_nothing_is_sent_and_no_client_made(moto_store, user):
    app = create_app(moto_store.config)
    filled(moto_store, product_of(user), 3)
    with app.app_context():
        assert carry_out(product_of(user), NEW, T1).status == "done"
        assert "client" not in vars(get_bus())


# --- what comes in


@pytest.fixture
def on_lambda(shop, moto_url, monkeypatch):
    """The function of the stage, and who hears what it sends to itself."""
    app, _ = shop
    monkeypatch.setattr(wsgi, "app", app)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "cart-dev")
    (source,) = [one["event_source"] for one in settings()["dev"]["events"] if "event_source" in one]
    listener = Listener(moto_url, source["event_pattern"])
    return app, listener


def test_an_event_changes_the_price(on_lambda, moto_store, user):
    app, listener = on_lambda
    product = product_of(user)
    moto_store.put(user, product)
    moto_store.put(user, product, **saved(product))
    # as Lambda's runtime has read it: a number is a float
    detail = {"product_id": product, "price": 21.5, "changed_at": "2026-01-01T00:00:00Z", "reason": "spring"}
    for _ in range(2):
        price_changed(pattern_event("ProductPriceChanged", detail), None)
    assert news(line_of(app.test_client(), user)) == (NEW, T1)
    assert line_of(app.test_client(), user)["version"] == 2
    assert listener.heard() == []  # done in one step


@pytest.mark.parametrize(
    "wrong",
    [
        *({"price": 1.005}, {"price": "1"}, {"price": None}, {"price": 0}, {"product_id": 0}),
        *({"product_id": None}, {"changed_at": "2999-01-01T00:00:00Z"}, {"changed_at": None}, {"changed_at": "soon"}),
    ],
)
def test_an_event_that_is_not_valid_is_logged_and_left(on_lambda, moto_store, user, wrong, capsys):
    product = product_of(user)
    moto_store.put(user, product)
    before = moto_store.rows(user)
    good = {"product_id": product, "price": 21.5, "changed_at": "2026-01-01T00:00:00Z"}
    price_changed(pattern_event("ProductPriceChanged", good | wrong), None)
    assert next(iter(wrong)) in capsys.readouterr().out
    assert moto_store.rows(user) == before


def test_steps_follow_each_other_by_events(on_lambda, moto_store, user, monkeypatch):
    """Each is one invocation, that ends by asking for the next; one that comes late finds nothing to do."""
    app, listener = on_lambda
    monkeypatch.setattr(jobs, "PAGE_LINES", 3)
    monkeypatch.setattr(jobs, "STEP_SECONDS", 0)
    product = product_of(user)
    users = filled(moto_store, product, 10)
    answer = app.test_client().put(f"/products/{product}/price", json={"price": 21.5, "changed_at": T1})
    assert answer.status_code == 202
    heard = listener.heard()
    steps = []
    while heard:
        (step,) = heard
        assert (step["source"], step["detail-type"]) == ("cart", "PriceChangeStep-dev")
        assert step["detail"] == {"job_id": answer.json["job_id"]}
        steps.append(step)
        price_changed(step, None)
        heard = listener.heard()
    assert len(steps) in (4, 5)  # 12 lines: an engine may not know that a page was the last
    assert app.test_client().get(answer.headers["Location"]).json["changed"] == len(users) + 1
    price_changed(steps[0], None)
    assert listener.heard() == []


def test_a_job_is_made_also_where_eventbridge_is_away(on_lambda, moto_store, user, monkeypatch):
    """Within the time of a request; the clock goes on with it."""
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
    assert answer.json["job_id"] in {one["detail"]["job_id"] for one in listener.heard()}


def test_what_was_left_goes_on_by_the_clock(on_lambda, moto_store, user, monkeypatch):
    _, listener = on_lambda
    monkeypatch.setattr(jobs, "PAGE_LINES", 3)
    product = product_of(user)
    filled(moto_store, product, 4)
    job = jobs.start(product, NEW, T1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "STEP_SECONDS", 0)
        assert jobs.run_step(get_table(), get_bus(), job.job_id)
    listener.heard()
    resume_price_changes({}, None)
    steps = [one for one in listener.heard() if one["detail"]["job_id"] == job.job_id]
    assert len(steps) == 1
    price_changed(steps[0], None)
    assert job_rows.read_job(get_table(), job.job_id).status == "done"
