"""The DynamoDB client: connect to it, call it with retries, and judge its errors. The only importer of boto3."""

import logging
import os
import random
import time
from collections.abc import Callable
from enum import Enum, auto
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.handlers import BUILTIN_HANDLERS
from botocore.parsers import ResponseParserError
from botocore.session import Session

from cart.config import Config, ConfigError
from cart.connections import MAX_IDLE_SECONDS
from cart.direct import DirectClient, reason_for_boto3, refuse_damaged
from cart.errors import OutcomeUnknown, Throttled, Unavailable
from cart.observability import count, info, seconds_since

logger = logging.getLogger(__name__)

Row = dict[str, Any]

# A request ends within 5 seconds, whatever DynamoDB does: no call begins later than this after the request did, and
# none takes longer than both timeouts together. A retry is decided on in the first second, and waits half of one.
LAST_START_SECONDS = 2.9
CONNECT_TIMEOUT_SECONDS = 0.5
READ_TIMEOUT_SECONDS = 1.5
RETRY_FOR_SECONDS = 1
BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 0.5

# The retries of the SDKs' standard mode ("Retry behavior", AWS SDKs and Tools Reference Guide)
MAX_ATTEMPTS = 3
RETRY_TOKENS = 500  # of this process
RETRY_COST = 5
TIMEOUT_COST = 10
SUCCESS_GAIN = 1

READS = {"query", "get_item", "batch_get_item", "scan"}
# What may be sent again although the first may have been applied: reads, and transactions, which carry a token by which
# DynamoDB recognizes a second sending. A PUT or DELETE can be repeated by the client, who sees what came in between.
RESEND_SAFE = {*READS, "transact_write_items"}
SEVERAL_TABLES = {"batch_get_item", "batch_write_item", "transact_write_items"}  # whose ConsumedCapacity is a list
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
BUDGETED = {Failure.THROTTLED, Failure.NOT_SENT, Failure.UNCERTAIN}
TIMEOUTS = {"ConnectTimeoutError", "ReadTimeoutError"}


class ConditionFailed(Exception):
    """The condition of a write did not hold. ``row`` is the row as it was, None where there was none."""

    def __init__(self, row: Row | None) -> None:
        self.row = row


class TransactionCancelled(Exception):
    """A condition of a transaction did not hold, or another one was at work on its rows: nothing was changed."""


class NotAnAnswer(ResponseParserError):
    """A 200 lacks what the AWS service always sends: something else answered, such as a captive portal."""


def connect(config: Config, patient: bool = False, service: str = "dynamodb") -> Any:
    """Return a client for the configured region, and for DynamoDB the configured endpoint.

    For DynamoDB it is a ``DirectClient`` or, where that cannot be, boto3's; then one log line says why.

    botocore's own retries are off: it sends an ``ADD`` whose answer was lost again, which counts twice.
    ``call`` retries instead, and knows what may be sent twice.

    :param patient: with botocore's own timeouts and retries, for the commands that make or look at tables
    :raise ConfigError: AWS's own configuration is not valid
    """
    try:
        core = Session() if patient else _session_for(service)
        session = boto3.Session(region_name=config.aws_region, botocore_session=core)
    except BotoCoreError as error:  # such as a profile that does not exist
        raise ConfigError(f"cart: {error}") from None
    endpoint_url = config.dynamodb_endpoint_url if service in ("dynamodb", "dynamodbstreams") else None
    # An engine on a laptop checks no credentials, but botocore signs nothing without some.
    anonymous = endpoint_url and not session.get_credentials()
    if anonymous:
        core.set_credentials("local", "local")
    client = session.client(  # type: ignore[call-overload]
        service,
        endpoint_url=endpoint_url,
        config=None
        if patient
        else ClientConfig(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"total_max_attempts": 1},
            max_pool_connections=50,
            tcp_keepalive=True,
        ),
    )
    client.meta.events.register("before-parse", _refuse_other_than_objects)
    if patient:
        return client
    client.meta.events.register("before-parse", _refuse_damaged)
    _IdleConnections(client)
    if service != "dynamodb":
        return client
    if reason := _reason_for_boto3(config, client, core):
        info(logger, f"boto3's client sends all requests to DynamoDB: {reason}")
        return client
    return DirectClient(client, core.get_credentials(), _ca_bundle(core))


def _reason_for_boto3(config: Config, client: Any, session: Session) -> str | None:
    if config.dynamodb_transport == "botocore":
        return "DYNAMODB_TRANSPORT is botocore"
    return reason_for_boto3(client, session)


def _ca_bundle(session: Session) -> str | bool:
    return session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True


def _refuse_other_than_objects(response_dict: dict[str, Any], **_: Any) -> None:
    """:raise NotAnAnswer: a 200 that is not a JSON object, which boto3's client takes for an empty answer"""
    body = response_dict["body"]
    if response_dict["status_code"] == 200 and body and not body.lstrip().startswith(b"{"):
        raise NotAnAnswer("an answer of AWS is not a JSON object")


def _refuse_damaged(response_dict: dict[str, Any], **_: Any) -> None:
    """:raise ChecksumError: an answer that boto3's client, without retries, would take for a good one"""
    refuse_damaged(response_dict["headers"], response_dict["body"])


class _IdleConnections:
    """Close the idle connections of a boto3 client after a minute without a request, and when a connection fails.

    A firewall or NAT that has forgotten one connection has forgotten the others too.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._last_request = time.monotonic()
        client.meta.events.register("before-call", self._close_if_old)
        client.meta.events.register("needs-retry", self._close_if_failed)

    def _close_if_old(self, **_: Any) -> None:
        now = time.monotonic()
        if now - self._last_request > MAX_IDLE_SECONDS:
            self._client.close()
        self._last_request = now

    def _close_if_failed(self, caught_exception: Exception | None, **_: Any) -> None:
        if isinstance(caught_exception, HTTPClientError):
            self._client.close()


def _session_for(service: str) -> Session:
    """botocore's session with those of its own handlers that are for every service, or for this one.

    The others, for S3's and the documentation's sake, are a hundred, and are registered at every cold start.
    """
    session = Session(include_builtin_handlers=False)
    for event, handler, *_ in BUILTIN_HANDLERS:
        if event.split(".")[1:2] in ([], [service]):  # such as before-call, and before-call.s3
            session.register(event, handler)
    return session


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


def call(client: Any, operation: str, **params: Any) -> Any:
    """Carry out one DynamoDB operation, with retries.

    :param operation: a method of boto3's client that takes ``ReturnConsumedCapacity``
    :return: the answer as boto3's client returns it
    :raise ConditionFailed, TransactionCancelled: nothing was changed
    :raise Throttled: nothing was changed (429)
    :raise Unavailable: DynamoDB cannot be reached, refuses, or there is no time left; nothing was changed (503)
    :raise OutcomeUnknown: a write may have been applied, by any of its attempts (503)
    """
    in_doubt = False
    retries = Retries()
    if seconds_since(time.perf_counter()) > LAST_START_SECONDS:
        raise Unavailable("DynamoDB is slow, and there is no time left for all that this needs. Try again.")
    while True:
        try:
            count("DynamoDBRequests")
            answer = send(getattr(client, operation), ReturnConsumedCapacity="TOTAL", **params)
            count("DynamoDBCapacityUnits", _capacity_units(operation, answer))
        except AWS_ERRORS as error:
            failure = failure_of(error)
            if failure is Failure.CANCELLED:
                raise TransactionCancelled(str(error)) from None
            if failure is Failure.CONDITION:
                raise ConditionFailed(error.response.get("Item")) from None  # type: ignore[union-attr, arg-type]
            if failure in (Failure.THROTTLED, Failure.CONTENTION):
                count("DynamoDBThrottles")
            in_doubt |= failure is Failure.UNCERTAIN and operation not in READS
            resend_safe = not in_doubt or operation in RESEND_SAFE
            if not resend_safe or not retries.wait(failure, code_of(error)):
                raise _problem(operation, error, in_doubt) from error
        else:
            retries.succeeded()
            return answer


def send(method: Callable[..., Any], **params: Any) -> Any:
    """Call a method of an AWS client once.

    :raise NotAnAnswer: the client cannot read the answer, such as one with a list where a structure belongs
    """
    try:
        return method(**params)
    except AWS_ERRORS:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # as botocore's parsers fail
        raise NotAnAnswer(f"an answer of AWS cannot be read: {error!r}") from error


def _capacity_units(operation: str, answer: Any) -> float:
    """Return what an operation has cost.

    :raise NotAnAnswer: the answer does not say so, although DynamoDB was asked to
    """
    consumed = answer.get("ConsumedCapacity")
    try:
        if operation in SEVERAL_TABLES and isinstance(consumed, list):
            return sum([table["CapacityUnits"] + 0 for table in consumed])
        if operation not in SEVERAL_TABLES and isinstance(consumed, dict):
            return consumed.get("CapacityUnits", 0) + 0
    except (LookupError, TypeError):
        pass
    raise NotAnAnswer(f"an answer to {operation} is without the ConsumedCapacity that was asked for")


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


def _problem(operation: str, error: Exception, in_doubt: bool) -> Exception:
    """Return what the client is answered after a failed operation; the log has the rest.

    :param in_doubt: it is a write, and may have been applied
    """
    failure = failure_of(error)
    if failure is Failure.DEFECT:
        return error  # 500, with the traceback in the log
    logger.error("DynamoDB %s failed: %s", operation, error)
    if in_doubt:
        return OutcomeUnknown()
    return Throttled() if failure in (Failure.THROTTLED, Failure.CONTENTION) else Unavailable()


def back_off(attempt: int) -> None:
    """Wait before another attempt, a random time that grows with their number."""
    time.sleep(random.uniform(0, min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** min(attempt, 8))))
