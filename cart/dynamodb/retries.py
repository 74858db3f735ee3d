"""When to try again: one request to AWS, and work that other writers can make fail for a while."""

import random
import time
from collections.abc import Callable, Iterator
from itertools import count
from threading import Lock
from typing import TypeVar

from cart.context import seconds_since
from cart.dynamodb.failures import Failure

# A retry of a request is decided on in the first second of its operation, and waits half a second at most.
RETRY_FOR_SECONDS = 1
BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 0.5

# The retries of the SDKs' standard mode ("Retry behavior", AWS SDKs and Tools Reference Guide)
MAX_ATTEMPTS = 3
RETRY_TOKENS = 500  # of this process
RETRY_COST = 5
TIMEOUT_COST = 10
SUCCESS_GAIN = 1
BUDGETED = {Failure.THROTTLED, Failure.NOT_SENT, Failure.UNCERTAIN}
TIMEOUTS = {"ConnectTimeoutError", "ReadTimeoutError"}

Result = TypeVar("Result")

MAX_ROUNDS = 8  # of ``attempts``, where no time limits them


def attempts(limit: int | None = MAX_ROUNDS, is_over: Callable[[], bool] = lambda: False) -> Iterator[int]:
    """Yield 0, 1, 2 …, and pause before each but the first, at random and longer each time.

    Leave the loop by ``break`` or ``return`` when the work is done; its end means that no attempt succeeded.

    :param limit: how many, None for any number
    :param is_over: asked after each pause; the loop ends when it is true
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
    """Do the work again while it raises one of these errors; see ``attempts`` for the limits.

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
    """Tokens for the retries of this process: while AWS is overloaded or away, retries would add to the load."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.refill()

    def refill(self) -> None:
        """Start anew."""
        self._tokens = RETRY_TOKENS

    def take(self, tokens: int) -> bool:
        """Take tokens if there are so many."""
        with self._lock:
            if self._tokens < tokens:
                return False
            self._tokens -= tokens
            return True

    def give_back(self, tokens: int) -> None:
        """Add tokens, up to those of the start."""
        if self._tokens < RETRY_TOKENS:
            with self._lock:
                self._tokens = min(self._tokens + tokens, RETRY_TOKENS)


retry_budget = RetryBudget()


class Retries:
    """Decide whether one operation is sent again.

    Throttling and passing faults: at most ``MAX_ATTEMPTS``, and within the process's ``retry_budget``. Contention: for
    ``RETRY_FOR_SECONDS``.

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
        self._budgeted = 0
        self._cost = 0

    def wait(self, failure: Failure, code: str = "") -> bool:
        """Wait before the next attempt; False, at once, where there is to be none.

        :param code: of the error, see ``code_of``
        """
        if seconds_since(self._started) > RETRY_FOR_SECONDS or failure not in BUDGETED | {Failure.CONTENTION}:
            return False
        if failure in BUDGETED:
            cost = TIMEOUT_COST if code in TIMEOUTS else RETRY_COST
            if self._budgeted == MAX_ATTEMPTS - 1 or not retry_budget.take(cost):
                return False
            self._budgeted += 1
            self._cost = cost
        back_off(self._waits)
        self._waits += 1
        return True

    def succeeded(self) -> None:
        """Give back what the last retry cost, or the small gain of a first success."""
        retry_budget.give_back(self._cost or SUCCESS_GAIN)


def back_off(attempt: int) -> None:
    """Wait before another attempt, a random time that grows with their number."""
    time.sleep(random.uniform(0, min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** min(attempt, 8))))
