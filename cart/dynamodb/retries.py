"""Attempts with a pause between them, for work that other writers or DynamoDB's load can make fail for a while."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import TypeVar

from cart.dynamodb.client import back_off

Result = TypeVar("Result")

MAX_ATTEMPTS = 8  # where no time limits them


def attempts(limit: int | None = MAX_ATTEMPTS, is_over: Callable[[], bool] = lambda: False) -> Iterator[int]:
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
    limit: int | None = MAX_ATTEMPTS,
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
