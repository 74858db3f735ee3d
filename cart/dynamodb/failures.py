"""What the errors of AWS's clients mean. Every error is judged here, by its code."""

from enum import Enum, auto
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from cart.dynamodb.keys import Row

AWS_ERRORS = (ClientError, BotoCoreError, ResponseParserError)


class Failure(Enum):
    """What the error of one request to AWS means."""

    CONDITION = auto()  # a write's condition did not hold
    CANCELLED = auto()  # a transaction changed nothing: a condition did not hold, or another writer was at work
    CONTENTION = auto()  # another writer is at work on the same row
    THROTTLED = auto()
    NOT_SENT = auto()
    UNCERTAIN = auto()  # the request may have been carried out
    DEFECT = auto()  # the request was wrong
    REFUSED = auto()  # anything else: sending it again will not help


# By the code of AWS's answer or, where no answer came, by the exception's class or base class
FAILURES = {
    "ConditionalCheckFailedException": Failure.CONDITION,
    "TransactionCanceledException": Failure.CANCELLED,
    "TransactionConflictException": Failure.CONTENTION,
    "TransactionInProgressException": Failure.CONTENTION,
    "ProvisionedThroughputExceededException": Failure.THROTTLED,
    "ThrottlingException": Failure.THROTTLED,
    "RequestLimitExceeded": Failure.THROTTLED,
    "EndpointConnectionError": Failure.NOT_SENT,
    "ConnectTimeoutError": Failure.NOT_SENT,
    "ProxyConnectionError": Failure.NOT_SENT,
    "HTTPClientError": Failure.UNCERTAIN,
    "ChecksumError": Failure.UNCERTAIN,
    "ResponseParserError": Failure.UNCERTAIN,
    "ValidationException": Failure.DEFECT,
    "ParamValidationError": Failure.DEFECT,
}


class ConditionFailed(Exception):
    """The condition of a write did not hold. ``row`` is the row as it was, None where there was none."""

    def __init__(self, row: Row | None) -> None:
        self.row = row


class TransactionCancelled(Exception):
    """A condition of a transaction did not hold, or another one was at work on its rows: nothing was changed."""


class NotAnAnswer(ResponseParserError):
    """A 200 lacks what the AWS service always sends: something else answered, such as a captive portal."""


def member(answer: Any, name: str, kind: type = dict) -> Any:
    """Return a member that an AWS service puts into every answer.

    :raise NotAnAnswer: it is not there, or not of this type
    """
    value = answer.get(name)
    if not isinstance(value, kind):
        raise NotAnAnswer(f"an answer of AWS is without {name}")
    return value


def code_of(error: Exception) -> str:
    """Return AWS's name of an error, or the name of the exception where no answer came."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    return type(error).__name__


def failure_of(error: Exception) -> Failure:
    """Return what an error of a request to AWS means.

    >>> failure_of(ReadTimeoutError(endpoint_url="https://dynamodb.eu-central-1.amazonaws.com"))
    <Failure.UNCERTAIN: 6>
    """
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return FAILURES.get(code_of(error), Failure.UNCERTAIN if status >= 500 else Failure.REFUSED)
    if type(getattr(error, "kwargs", {}).get("error")).__name__ == "ClosedPoolError":
        return Failure.NOT_SENT  # boto3's idle connections were closed at this moment
    kinds = [FAILURES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in FAILURES]
    return kinds[0] if kinds else Failure.REFUSED
