"""The meaning of the errors of AWS clients. This is the only module that decides it, by the code of the error."""

from enum import Enum, auto
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from cart.dynamodb.keys import Row
from cart.model.lines import Line

AWS_ERRORS = (ClientError, BotoCoreError, ResponseParserError)


class Failure(Enum):
    """The meaning of an error of one request to AWS."""

    CONDITION = auto()  # a write's condition did not hold
    CANCELLED = auto()  # a transaction changed nothing: a condition did not hold, or another writer changed a row
    CONTENTION = auto()  # another writer is changing the same row
    THROTTLED = auto()
    NOT_SENT = auto()  # no connection could be made
    UNCERTAIN = auto()  # the request may have been carried out
    DEFECT = auto()  # the request was wrong
    REFUSED = auto()  # any other error: a retry will fail too


# By the code in the answer or, without an answer, by the name of the exception's class or of a base class
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
    """The condition of a write did not hold.

    :ivar row: the row that DynamoDB returned, or None if there was none
    """

    def __init__(self, row: Row | None) -> None:
        self.row = row


class VersionChanged(Exception):
    """The condition of ``If-Match`` did not hold.

    :ivar line: the current line, or None if there is none or it has expired
    """

    def __init__(self, line: Line | None) -> None:
        self.line = line


class TransactionCancelled(Exception):
    """A condition of a transaction did not hold, or another writer changed its rows. Nothing was changed."""


class NotAnAnswer(ResponseParserError):
    """A 200 lacks what the AWS service always sends: it is not from AWS, but from a captive portal or the like."""


def member(answer: Any, name: str, kind: type = dict) -> Any:
    """Return a member that the AWS service sends in every answer.

    :param kind: the type that it must have
    :raise NotAnAnswer: the member is missing or of another type
    """
    value = answer.get(name)
    if not isinstance(value, kind):
        raise NotAnAnswer(f"an answer of AWS has no {name}")
    return value


def code_of(error: Exception) -> str:
    """Return the code of an error that AWS sent; without an answer, the name of the exception."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    return type(error).__name__


def failure_of(error: Exception) -> Failure:
    """Return what an error of a request to AWS means.

    :param error: one of ``AWS_ERRORS``

    >>> failure_of(ReadTimeoutError(endpoint_url="https://dynamodb.eu-central-1.amazonaws.com"))
    <Failure.UNCERTAIN: 6>
    """
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return FAILURES.get(code_of(error), Failure.UNCERTAIN if status >= 500 else Failure.REFUSED)
    if type(getattr(error, "kwargs", {}).get("error")).__name__ == "ClosedPoolError":
        return Failure.NOT_SENT  # boto3's idle connections were closed before it could send
    kinds = [FAILURES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in FAILURES]
    return kinds[0] if kinds else Failure.REFUSED
