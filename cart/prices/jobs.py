"""A price has changed: every line of the product hears of it, page by page, by whoever is at the job.

A job is a row of the table, and its cursor is kept with each page. A step works on it for some seconds, under a lease;
who dies leaves the lease to run out, and the next goes on from the cursor. On Lambda a step ends by sending the
function an event, which begins the next: not by an invocation of itself, which Lambda takes for a loop and stops after
16 ("Use Lambda recursive loop detection to prevent infinite loops"). Elsewhere a thread takes step after step.
"""

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import TypeVar

from cart.bus import ENTRIES, Bus, Entry
from cart.dynamodb.retries import attempts, retry
from cart.dynamodb.table import CartTable
from cart.errors import Throttled, Unavailable
from cart.http.extensions import get_bus, get_table
from cart.logs import info
from cart.model.lines import CART, iso
from cart.prices.job_rows import (
    DONE,
    Holder,
    Job,
    holders,
    keep_job,
    put_job,
    record_price,
    take_job,
    unfinished_jobs,
    unlist_job,
)

logger = logging.getLogger(__name__)

PAGE_LINES = 100
WORKERS = 8
STEP_SECONDS = 5  # no page begins later; a function may take 10
PATIENCE_SECONDS = 6  # of a step with DynamoDB and EventBridge, from its beginning; the last try may take 3 more
LEASE_SECONDS = 15  # longer than any page can take
MAX_FAILED_STEPS = 12  # in a row, of a thread

Result = TypeVar("Result")


def start(product_id: int, price: Decimal, changed_at: str) -> Job:
    """The job of a price change, which is the same one whenever the same change comes.

    :param changed_at: as ``lines.iso`` writes it
    """
    job_id = _hash(f"{product_id} {price:.2f} {changed_at}")
    return put_job(get_table(), Job(job_id, product_id, price, changed_at, iso(datetime.now(UTC))))


def go_on(job: Job) -> None:
    """See to it that somebody is at a job that is not done: now, or where that fails, by the clock."""
    if not job.is_left:
        return
    table, bus = get_table(), get_bus()
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # where no thread runs after the answer
        with suppress(Unavailable):
            bus.send([bus.step(job.job_id)])
    else:
        threading.Thread(target=run, args=[table, bus, job.job_id], daemon=True).start()


def go_on_with_all() -> list[Job]:
    """Go on with what others have left; the jobs are the answer."""
    left = [job for job in unfinished_jobs(get_table()) if job.is_left]
    for job in left:
        go_on(job)
    return left


def run(table: CartTable, bus: Bus, job_id: str) -> None:
    """Take one step after the other until the job is done, somebody else is at it, or nothing works for a minute."""
    is_running = True
    while is_running:
        for _ in attempts(MAX_FAILED_STEPS):
            try:
                is_running = run_step(table, bus, job_id)
                break
            except (Throttled, Unavailable) as error:
                logger.warning("Price change %s: a step failed: %s", job_id, error)
        else:
            logger.error("Price change %s: gave up; flask --app wsgi prices resume goes on with it", job_id)
            return


def run_step(table: CartTable, bus: Bus, job_id: str) -> bool:
    """Work on a job for some seconds, unless somebody else does.

    :return: whether more is to be done
    :raise Throttled, Unavailable: DynamoDB or EventBridge; what is done is kept
    """
    started, owner = time.monotonic(), uuid.uuid4().hex
    patiently = _Patience(started + PATIENCE_SECONDS)
    job = patiently(lambda: take_job(table, job_id, owner, LEASE_SECONDS))
    if job is None:
        return False
    with ThreadPoolExecutor(WORKERS) as pool:
        while job.is_running:
            is_last = time.monotonic() >= started + STEP_SECONDS
            job = _do_page(table, bus, pool, patiently, job)._replace(
                lease_until=0 if is_last else time.time() + LEASE_SECONDS
            )
            if not patiently(lambda: keep_job(table, job, owner)):  # noqa: B023 - called here and now
                return False
            _say(job)
            if is_last:
                break
    if not job.is_running:
        patiently(lambda: unlist_job(table, job))
    return job.is_running


class _Patience:
    """Do what may be done twice again where DynamoDB or EventBridge fails, until a moment of ``time.monotonic``."""

    def __init__(self, until: float) -> None:
        self._until = until

    def __call__(self, work: Callable[[], Result]) -> Result:
        return retry(work, (Throttled, Unavailable), None, is_over=lambda: time.monotonic() > self._until)


def _do_page(table: CartTable, bus: Bus, pool: ThreadPoolExecutor, patiently: _Patience, job: Job) -> Job:
    """The job after one more page. Word of its carts goes out before the cursor passes them."""
    page, cursor = patiently(lambda: holders(table, job.product_id, PAGE_LINES, job.cursor))
    old_prices = list(pool.map(lambda holder: patiently(lambda: record_price(table, job, holder)), page))
    changed = [(holder, old) for holder, old in zip(page, old_prices, strict=True) if old is not None]
    if bus.name:
        told = [_told(bus, job, holder, old) for holder, old in changed if holder.place == CART]
        batches = [told[start : start + ENTRIES] for start in range(0, len(told), ENTRIES)]
        list(pool.map(lambda entries: patiently(lambda: bus.send(entries)), batches))
    return job._replace(
        status=job.status if cursor else DONE,
        cursor=cursor or job.cursor,
        seen=job.seen + len(page),
        changed=job.changed + len(changed),
        skipped=job.skipped + len(page) - len(changed),
    )


def _told(bus: Bus, job: Job, holder: Holder, old_price: Decimal) -> Entry:
    return bus.cart_price_changed(
        id=_hash(f"{job.job_id} {holder.user_id}"),  # the same whenever the same is told again
        user_id=holder.user_id,
        product_id=job.product_id,
        old_price=old_price,
        new_price=job.price,
        changed_at=job.changed_at,
    )


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


def _say(job: Job) -> None:
    counts = f"{job.seen} lines seen, {job.changed} changed, {job.skipped} skipped"
    info(logger, f"Price change {job.job_id} of product {job.product_id} is {job.status}: {counts}")
