"""Errors of DynamoDB, and how to make a client raise them."""

from contextlib import contextmanager

from botocore.exceptions import (
    ChecksumError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)


@contextmanager
def hooked(table, event: str, hook):
    table.client.meta.events.register(event, hook)
    try:
        yield
    finally:
        table.client.meta.events.unregister(event, hook)


@contextmanager
def failing(table, operation: str, errors: list[Exception], applied: bool = False):
    """Let the next calls fail, one for each error; ``applied``: after DynamoDB did them. Yields the calls."""
    calls: list[str] = []
    left = list(errors)

    def fail(**_):
        calls.append(operation)
        if left:
            raise left.pop(0)

    with hooked(table, f"{'after' if applied else 'before'}-call.dynamodb.{operation}", fail):
        yield calls


def client_error(code: str, status: int) -> ClientError:
    response = {"Error": {"Code": code, "Message": "secret"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "UpdateItem")  # type: ignore[arg-type]


REFUSED = EndpointConnectionError(endpoint_url="http://secret")
LOST = ConnectionClosedError(endpoint_url="http://secret")
SLOW = ReadTimeoutError(endpoint_url="http://secret")
GARBLED = ChecksumError(checksum_type="crc32", expected_checksum="1", actual_checksum="2")
THROTTLED = client_error("ProvisionedThroughputExceededException", 400)
BROKEN = client_error("InternalServerError", 500)
