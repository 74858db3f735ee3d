"""Connect to DynamoDB and other AWS services, and call DynamoDB with retries. Only this module imports boto3."""

import logging
import os
import time
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.handlers import BUILTIN_HANDLERS
from botocore.session import Session

from cart.config import Config, ConfigError
from cart.context import count, seconds_since
from cart.dynamodb.connections import MAX_IDLE_SECONDS
from cart.dynamodb.direct import DirectClient, reason_for_boto3, refuse_damaged
from cart.dynamodb.failures import (
    AWS_ERRORS,
    ConditionFailed,
    Failure,
    NotAnAnswer,
    TransactionCancelled,
    code_of,
    failure_of,
    member,
)
from cart.dynamodb.retries import Retries
from cart.errors import OutcomeUnknown, Throttled, Unavailable
from cart.logs import info

logger = logging.getLogger(__name__)

# A shopper's request ends within 5 seconds: no call starts later than LAST_START_SECONDS after the request began, and
# no call takes longer than both timeouts together. See ``retries`` for the pauses between calls.
LAST_START_SECONDS = 2.9
CONNECT_TIMEOUT_SECONDS = 0.5
READ_TIMEOUT_SECONDS = 1.5

READS = {"query", "get_item", "batch_get_item", "scan"}
# Operations that may be sent again although the first attempt may have been applied: reads, and transactions, since
# DynamoDB recognizes the token of a repeated transaction. The client decides about all others.
RESEND_SAFE = {*READS, "transact_write_items"}
MULTI_TABLE = {"batch_get_item", "batch_write_item", "transact_write_items"}  # their ConsumedCapacity is a list
CREDENTIALS = "AWS credentials (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"  # for error messages


def connect(config: Config, boto_defaults: bool = False, service: str = "dynamodb") -> Any:
    """Return a client for an AWS service in the configured region; for DynamoDB, at the configured endpoint.

    For DynamoDB it is a ``DirectClient``; if that cannot be used, it is boto3's client, and a log line says why.

    botocore's own retries are off: they would send an ``ADD`` again whose answer was lost, and count it twice.
    ``call`` retries instead, and only what may be sent twice.

    :param boto_defaults: keep botocore's own timeouts and retries, and return boto3's client: for commands
    :raise ConfigError: the AWS configuration is not valid
    """
    core = Session() if boto_defaults else _session_for(service)
    try:
        client = _make_client(config, boto_defaults, service, core)
    except BotoCoreError as error:  # such as a profile that does not exist, or a key id without its secret
        raise ConfigError(f"cart: {error}") from None
    client.meta.events.register("before-parse", _refuse_other_than_objects)
    if boto_defaults:
        return client
    client.meta.events.register("before-parse", _refuse_damaged)
    _IdleConnections(client)
    if service != "dynamodb":
        return client
    if reason := _reason_for_boto3(config, client, core):
        info(logger, f"boto3's client sends all requests to DynamoDB: {reason}")
        return client
    return DirectClient(client, core.get_credentials(), _ca_bundle(core))


def _make_client(config: Config, boto_defaults: bool, service: str, core: Session) -> Any:
    session = boto3.Session(region_name=config.aws_region, botocore_session=core)
    endpoint_url = config.dynamodb_endpoint_url if service in ("dynamodb", "dynamodbstreams") else None
    # A local engine does not check credentials, but botocore cannot sign a request without them.
    if endpoint_url and not session.get_credentials():
        core.set_credentials("local", "local")
    return session.client(  # type: ignore[call-overload]
        service,
        endpoint_url=endpoint_url,
        config=None
        if boto_defaults
        else ClientConfig(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"total_max_attempts": 1},
            max_pool_connections=50,
            tcp_keepalive=True,
        ),
    )


def _reason_for_boto3(config: Config, client: Any, session: Session) -> str | None:
    if config.dynamodb_transport == "botocore":
        return "DYNAMODB_TRANSPORT is botocore"
    return reason_for_boto3(client, session)


def _ca_bundle(session: Session) -> str | bool:
    return session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True


def _refuse_other_than_objects(response_dict: dict[str, Any], **_: Any) -> None:
    """Refuse a 200 that is not a JSON object: boto3's client would read it as an empty answer.

    :raise NotAnAnswer: always, for such an answer
    """
    body = response_dict["body"]
    if response_dict["status_code"] == 200 and body and not body.lstrip().startswith(b"{"):
        raise NotAnAnswer("an answer of AWS is not a JSON object")


def _refuse_damaged(response_dict: dict[str, Any], **_: Any) -> None:
    """Refuse a damaged answer: boto3's client checks the checksum only if its retries are on.

    :raise ChecksumError: the answer does not match its checksum
    """
    refuse_damaged(response_dict["headers"], response_dict["body"])


class _IdleConnections:
    """Close the idle connections of a boto3 client after a minute without a request, and when a connection fails.

    If a firewall or NAT has dropped one idle connection, it has dropped the others too.
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
    """Return a botocore session with only those built-in handlers that this service needs.

    The others, about a hundred for S3 and for documentation, would be registered at every cold start.
    """
    session = Session(include_builtin_handlers=False)
    for event, handler, *_ in BUILTIN_HANDLERS:
        if event.split(".")[1:2] in ([], [service]):  # "before-call" is for all services, "before-call.s3" for one
            session.register(event, handler)
    return session


def call(client: Any, operation: str, **params: Any) -> Any:
    """Carry out one DynamoDB operation with retries, and return its answer.

    :param operation: a method of boto3's client that takes ``ReturnConsumedCapacity``
    :return: the answer as boto3's client returns it
    :raise ConditionFailed, TransactionCancelled: nothing was changed
    :raise Throttled: nothing was changed (429)
    :raise Unavailable: DynamoDB cannot be reached or refuses, or the time is over; nothing was changed (503)
    :raise OutcomeUnknown: an attempt of a write may have been applied (503)
    """
    in_doubt = False
    retries = Retries()
    if seconds_since(time.perf_counter()) > LAST_START_SECONDS:
        raise Unavailable("DynamoDB is too slow to finish this request in time. Try again.")
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
                raise _exception_for(operation, error, in_doubt) from error
        else:
            retries.succeeded()
            return answer


def send(method: Callable[..., Any], **params: Any) -> Any:
    """Call a method of an AWS client once, and return its result.

    :raise NotAnAnswer: the client cannot read the answer, for example a list in place of an object
    """
    try:
        return method(**params)
    except AWS_ERRORS:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # errors of botocore's parsers
        raise NotAnAnswer(f"an answer of AWS cannot be read: {error!r}") from error


def _capacity_units(operation: str, answer: Any) -> float:
    """Return the capacity units that an operation consumed.

    :raise NotAnAnswer: the answer lacks them, although the request asked for them
    """
    consumed = answer.get("ConsumedCapacity")
    if consumed is None and operation == "batch_get_item":  # ministack leaves it out
        member(answer, "Responses")
        member(answer, "UnprocessedKeys")
        return 0
    try:
        if operation in MULTI_TABLE and isinstance(consumed, list):
            return sum([table["CapacityUnits"] + 0 for table in consumed])
        if operation not in MULTI_TABLE and isinstance(consumed, dict):
            return consumed.get("CapacityUnits", 0) + 0
    except (LookupError, TypeError):
        pass
    raise NotAnAnswer(f"an answer to {operation} lacks the requested ConsumedCapacity")


def _exception_for(operation: str, error: Exception, in_doubt: bool) -> Exception:
    """Log the error of a failed operation, and return the exception to raise in its place.

    :param in_doubt: the operation is a write that may have been applied
    """
    failure = failure_of(error)
    if failure is Failure.DEFECT:
        return error  # 500, with the traceback in the log
    logger.error("DynamoDB %s failed: %s", operation, error)
    if in_doubt:
        return OutcomeUnknown()
    return Throttled() if failure in (Failure.THROTTLED, Failure.CONTENTION) else Unavailable()
