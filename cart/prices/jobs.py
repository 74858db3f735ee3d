"""Record a price change on every line of the product, page by page, as a job that survives crashes.

A job is a row of the table; its cursor is saved after each page. A step works on the job for some seconds, under a
lease. If a worker crashes, its lease runs out, and another worker continues from the cursor. On Lambda, a step ends by
sending an event that starts the next one. It does not invoke its own function: Lambda would take that for a loop and
stop it after 16 times ("Use Lambda recursive loop detection to prevent infinite loops"). Elsewhere a thread does one
step after the other.
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
    lease_job,
    put_job,
    record_price,
    save_job,
    unfinished_jobs,
    unlist_job,
)

logger = logging.getLogger(__name__)

PAGE_LINES = 100
WORKERS = 8
STEP_SECONDS = 5  # no page starts later than this after the start of its step; Lambda's limit is 10
RETRY_SECONDS = 6  # no retry starts later than this after the start of its step; the last one may take 3 more
LEASE_SECONDS = 15  # longer than any page can take
MAX_FAILED_STEPS = 12  # of a thread, in a row

Result = TypeVar("Result")


def start(product_id: int, price: Decimal, changed_at: str) -> Job:
    """Create the job of a price change, or return it if it exists: the same change always has the same job id.

    :param price: with two decimals
    :param changed_at: in the form of ``lines.iso``
    """
    job_id = _hash(f"{product_id} {price:.2f} {changed_at}")
    return put_job(get_table(), Job(job_id, product_id, price, changed_at, iso(datetime.now(UTC))))


def resume(job: Job) -> None:
    """Start a worker on a job that is not done and has none."""
    if not job.is_idle:
        return
    table, bus = get_table(), get_bus()
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # Lambda runs no thread after the response
        with suppress(Unavailable):  # then the schedule of `cart.events.resume_price_changes` resumes it
            bus.send([bus.step(job.job_id)])
    else:
        threading.Thread(target=run, args=[table, bus, job.job_id], daemon=True).start()


def resume_all() -> list[Job]:
    """Resume all jobs that are not done and have no worker, and return them."""
    idle_jobs = [job for job in unfinished_jobs(get_table()) if job.is_idle]
    for job in idle_jobs:
        resume(job)
    return idle_jobs


def run(table: CartTable, bus: Bus, job_id: str) -> None:
    """Do steps until the job is done, another worker has it, or ``MAX_FAILED_STEPS`` fail in a row (about a minute)."""
    is_running = True
    while is_running:
        for _ in attempts(MAX_FAILED_STEPS):
            try:
                is_running = run_step(table, bus, job_id)
                break
            except (Throttled, Unavailable) as error:
                logger.warning("Price change %s: a step failed: %s", job_id, error)
        else:
            logger.error("Price change %s: gave up; run flask --app wsgi prices resume to continue", job_id)
            return


def run_step(table: CartTable, bus: Bus, job_id: str) -> bool:
    """Work on a job for ``STEP_SECONDS``, unless another worker has it.

    :return: whether this worker is to do another step
    :raise Throttled, Unavailable: by DynamoDB or EventBridge; the pages that were done are saved
    """
    started, owner = time.monotonic(), uuid.uuid4().hex
    retrying = _Retrying(started + RETRY_SECONDS)
    job = retrying(lambda: lease_job(table, job_id, owner, LEASE_SECONDS))
    if job is None:
        return False
    with ThreadPoolExecutor(WORKERS) as pool:
        while job.is_running:
            is_last = time.monotonic() >= started + STEP_SECONDS
            job = _do_page(table, bus, pool, retrying, job)._replace(
                lease_until=0 if is_last else time.time() + LEASE_SECONDS
            )
            if not retrying(lambda: save_job(table, job, owner)):  # noqa: B023 - called in this round of the loop
                return False
            _log_progress(job)
            if is_last:
                break
    if not job.is_running:
        retrying(lambda: unlist_job(table, job))
    return job.is_running


class _Retrying:
    """Calls a function, and calls it again while DynamoDB or EventBridge fails; only for work that can be repeated.

    :param until: a time of ``time.monotonic`` after which no retry starts
    """

    def __init__(self, until: float) -> None:
        self._until = until

    def __call__(self, work: Callable[[], Result]) -> Result:
        return retry(work, (Throttled, Unavailable), None, is_over=lambda: time.monotonic() > self._until)


def _do_page(table: CartTable, bus: Bus, pool: ThreadPoolExecutor, retrying: _Retrying, job: Job) -> Job:
    """Do the next page of a job, and return the job with its new cursor and counts.

    The events of a page are sent before the caller saves the cursor, so that none is lost in a crash.
    """
    page, cursor = retrying(lambda: holders(table, job.product_id, PAGE_LINES, job.cursor))
    old_prices = list(pool.map(lambda holder: retrying(lambda: record_price(table, job, holder)), page))
    changed = [(holder, old_price) for holder, old_price in zip(page, old_prices, strict=True) if old_price is not None]
    if bus.name:
        entries = [_event_of(bus, job, holder, old_price) for holder, old_price in changed if holder.place == CART]
        batches = [entries[start : start + ENTRIES] for start in range(0, len(entries), ENTRIES)]
        list(pool.map(lambda batch: retrying(lambda: bus.send(batch)), batches))
    return job._replace(
        status=job.status if cursor else DONE,
        cursor=cursor or job.cursor,
        seen=job.seen + len(page),
        changed=job.changed + len(changed),
        skipped=job.skipped + len(page) - len(changed),
    )


def _event_of(bus: Bus, job: Job, holder: Holder, old_price: Decimal) -> Entry:
    return bus.cart_price_changed(
        id=_hash(f"{job.job_id} {holder.user_id}"),  # a repeated event has the same id
        user_id=holder.user_id,
        product_id=job.product_id,
        old_price=old_price,
        new_price=job.price,
        changed_at=job.changed_at,
    )


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


def _log_progress(job: Job) -> None:
    counts = f"{job.seen} lines seen, {job.changed} changed, {job.skipped} skipped"
    info(logger, f"Price change {job.job_id} of product {job.product_id} is {job.status}: {counts}")
