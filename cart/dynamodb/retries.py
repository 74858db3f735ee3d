"""When to try again: a request to AWS, and work that fails for a while because of other writers."""

import random
import time
from collections.abc import Callable, Iterator
from itertools import count
from threading import Lock
from typing import TypeVar

from cart.context import seconds_since
from cart.dynamodb.failures import Failure

# A request is retried only in the first second of its operation, after a pause of half a second at most.
RETRY_FOR_SECONDS = 1
BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 0.5

# The retries of the SDKs' standard mode ("Retry behavior", AWS SDKs and Tools Reference Guide)
MAX_ATTEMPTS = 3
RETRY_TOKENS = 500  # for each process
RETRY_COST = 5
TIMEOUT_COST = 10
SUCCESS_GAIN = 1
BUDGETED_FAILURES = {Failure.THROTTLED, Failure.NOT_SENT, Failure.UNCERTAIN}
TIMEOUT_ERRORS = {"ConnectTimeoutError", "ReadTimeoutError"}

Result = TypeVar("Result")

MAX_ROUNDS = 8  # for ``attempts`` without a time limit


def attempts(limit: int | None = MAX_ROUNDS, is_over: Callable[[], bool] = lambda: False) -> Iterator[int]:
    """Yield 0, 1, 2 … and pause before each number but 0. The pauses are random, and grow.

    Leave the loop by ``break`` or ``return`` when the work is done; if the loop ends, no attempt succeeded.

    :param limit: the number of attempts, or None for no limit
    :param is_over: called after each pause; the loop ends when it returns true
    """
    for attempt in count() if limit is None else range(limit):
        if attempt:
            back_off(attempt - 1)
            if is_over():
                return
        yield attempt


def retry(
    work: Callable[[], Result],
    errors: type[Exception] | tuple[type[Exception], ...],
    limit: int | None = MAX_ROUNDS,
    is_over: Callable[[], bool] = lambda: False,
) -> Result:
    """Call ``work`` until it raises none of these errors, and return its result. See ``attempts`` for the limits.

    :raise Exception: the error of the last attempt
    """
    failure: Exception | None = None
    for _ in attempts(limit, is_over):
        try:
            return work()
        except errors as error:
            failure = error
    assert failure  # noqa: S101 - there is at least one attempt
    raise failure


class RetryBudget:
    """Tokens for the retries of this process: without a limit, retries add to the load while AWS is overloaded."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.refill()

    def refill(self) -> None:
        """Reset the tokens to ``RETRY_TOKENS``."""
        self._tokens = RETRY_TOKENS

    def take(self, tokens: int) -> bool:
        """Take tokens; return False and take none if there are too few."""
        with self._lock:
            if self._tokens < tokens:
                return False
            self._tokens -= tokens
            return True

    def give_back(self, tokens: int) -> None:
        """Add tokens, up to ``RETRY_TOKENS``."""
        if self._tokens < RETRY_TOKENS:
            with self._lock:
                self._tokens = min(self._tokens + tokens, RETRY_TOKENS)


retry_budget = RetryBudget()


class Retries:
    """Decide whether one operation is sent again.

    After throttling or a temporary fault: at most ``MAX_ATTEMPTS`` attempts, and within ``retry_budget``. After
    contention: as often as ``RETRY_FOR_SECONDS`` allows.

    >>> retries = Retries()
    >>> while True:
    ...     try:
    ...         answer = client.query(**params)
    ...     except AWS_ERRORS as error:
    ...         if not retries.wait(failure_of(error), code_of(error)):
    ...             raise
    ...     else:
    ...         retries.succeeded()
    """

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._waits = 0
        self._budgeted_retries = 0
        self._cost = 0

    def wait(self, failure: Failure, code: str = "") -> bool:
        """Wait before the next attempt; return False, without a wait, if there must be no other attempt.

        :param code: the error's code, see ``code_of``
        """
        if seconds_since(self._started) > RETRY_FOR_SECONDS or failure not in BUDGETED_FAILURES | {Failure.CONTENTION}:
            return False
        if failure in BUDGETED_FAILURES:
            cost = TIMEOUT_COST if code in TIMEOUT_ERRORS else RETRY_COST
            if self._budgeted_retries == MAX_ATTEMPTS - 1 or not retry_budget.take(cost):
                return False
            self._budgeted_retries += 1
            self._cost = cost
        back_off(self._waits)
        self._waits += 1
        return True

    def succeeded(self) -> None:
        """Return tokens to the budget: the cost of the last retry, or ``SUCCESS_GAIN`` if there was no retry."""
        retry_budget.give_back(self._cost or SUCCESS_GAIN)


def back_off(attempt: int) -> None:
    """Wait a random time before another attempt.

    :param attempt: attempts that failed before, less 1; the time grows with it
    """
    time.sleep(random.uniform(0, min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** min(attempt, 8))))
