"""DynamoDB's client, what may be sent to it again, and what its errors mean. The only importer of boto3."""

import logging
import random
import time
from typing import Any

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
)
from botocore.handlers import BUILTIN_HANDLERS
from botocore.parsers import ResponseParserError
from botocore.session import Session

from cart.config import Config, ConfigError
from cart.context import count, seconds_since
from cart.dynamodb.direct import attach, refuse_damaged
from cart.errors import OutcomeUnknown, Throttled, Unavailable

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

THROTTLING = {
    *("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"),
    *("TransactionConflictException", "TransactionInProgressException"),  # others are at work on the same row
}
# What may be sent again although the first may have been applied: reads, and transactions, which carry a token by which
# DynamoDB tells a second sending. A PUT or DELETE can be repeated by the client, who sees what came in between.
READS = {"query", "get_item", "batch_get_item", "scan"}
RESENT = {*READS, "transact_write_items"}
CREDENTIALS = "AWS credentials (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"  # what to set
AWS_ERRORS = (ClientError, BotoCoreError, ResponseParserError)
NEVER_SENT = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
ANSWER_LOST = (HTTPClientError, ChecksumError, ResponseParserError)


class ConditionFailed(Exception):
    """The condition of a write did not hold. ``row`` is the row as it was, None where there was none."""

    def __init__(self, row: Row | None) -> None:
        self.row = row


class TransactionCancelled(Exception):
    """A condition of a transaction did not hold, or another one was at work on its rows: nothing was changed."""


def connect(config: Config, patient: bool = False, service: str = "dynamodb") -> Any:
    """A client for the configured region, and for DynamoDB the configured endpoint.

    botocore's own retries are off: it sends an ``ADD`` whose answer was lost again, which counts twice.
    ``call`` retries instead, and knows what may be sent twice.

    :param patient: with botocore's own timeouts and retries, for the commands that make or look at tables
    """
    try:
        client = _make_client(config, patient, service)
    except BotoCoreError as error:  # such as a profile that does not exist, or half of the credentials
        raise ConfigError(f"cart: {error}") from None
    if not patient:
        client.meta.events.register("before-parse.dynamodb", refuse_damaged)
        if config.dynamodb_transport == "lean" and service == "dynamodb":
            attach(client)
    return client


def _make_client(config: Config, patient: bool, service: str) -> Any:
    core = None if patient else _session_for(service)
    session = boto3.Session(region_name=config.aws_region, botocore_session=core)
    endpoint_url = config.dynamodb_endpoint_url if service in ("dynamodb", "dynamodbstreams") else None
    # An engine on a laptop checks no credentials, but botocore signs nothing without some.
    anonymous = endpoint_url and not session.get_credentials()
    return session.client(  # type: ignore[call-overload]
        service,
        endpoint_url=endpoint_url,
        aws_access_key_id="local" if anonymous else None,
        aws_secret_access_key="local" if anonymous else None,
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


def _session_for(service: str) -> Session:
    """botocore's session with those of its own handlers that are for every service, or for this one.

    The others, for S3's and the documentation's sake, are a hundred, and are registered at every cold start.
    """
    session = Session(include_builtin_handlers=False)
    for event, handler, *_ in BUILTIN_HANDLERS:
        if event.split(".")[1:2] in ([], [service]):  # such as before-call, and before-call.s3
            session.register(event, handler)
    return session


def call(client: Any, operation: str, **params: Any) -> Any:
    """One DynamoDB operation, with jittered retries ("Error retries and exponential backoff in AWS").

    :raise OutcomeUnknown: a write may have been applied, by any of its sendings
    """
    resend = operation in RESENT
    in_doubt = False
    started = time.perf_counter()
    if seconds_since(started) > LAST_START_SECONDS:
        raise Unavailable("DynamoDB is slow, and there is no time left for all that this needs. Try again.")
    attempt = 0
    while True:
        try:
            count("DynamoDBRequests")
            answer = getattr(client, operation)(ReturnConsumedCapacity="TOTAL", **params)
            count("DynamoDBCapacityUnits", _capacity_units(answer))
            return answer
        except AWS_ERRORS as error:
            if _code(error) in THROTTLING:
                count("DynamoDBThrottles")
            if _code(error) == "TransactionCanceledException":
                raise TransactionCancelled(str(error)) from None
            if _code(error) == "ConditionalCheckFailedException":
                raise ConditionFailed(error.response.get("Item")) from None  # type: ignore[union-attr, arg-type]
            in_doubt |= operation not in READS and _may_have_been_applied(error)
            again = _is_passing(error) and (resend or not in_doubt)
            if not again or seconds_since(started) > RETRY_FOR_SECONDS:
                raise _problem(operation, error, in_doubt) from error
        back_off(attempt)
        attempt += 1


def _capacity_units(answer: Any) -> float:
    consumed = answer.get("ConsumedCapacity", {})
    return (
        sum(one["CapacityUnits"] for one in consumed)
        if isinstance(consumed, list)
        else consumed.get("CapacityUnits", 0)
    )


def _code(error: Exception) -> str:
    """DynamoDB's name of an error, or the name of the exception where no answer came."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    return type(error).__name__


def _is_passing(error: Exception) -> bool:
    return _code(error) in THROTTLING or isinstance(error, NEVER_SENT) or _may_have_been_applied(error)


def _may_have_been_applied(error: Exception) -> bool:
    if isinstance(error, ClientError):
        return error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    return isinstance(error, ANSWER_LOST)


def _problem(operation: str, error: Exception, in_doubt: bool) -> Exception:
    """What the client is told of a failed operation; the log has the rest.

    :param in_doubt: it is a write, and may have been applied
    """
    if _code(error) in ("ValidationException", "ParamValidationError"):
        return error  # a defect of ours: 500, with the traceback in the log
    logger.error("DynamoDB %s failed: %s", operation, error)
    if in_doubt:
        return OutcomeUnknown()
    return Throttled() if _code(error) in THROTTLING else Unavailable()


def back_off(attempt: int) -> None:
    """Wait before another attempt, a random time that grows with their number."""
    time.sleep(random.uniform(0, min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** min(attempt, 8))))
