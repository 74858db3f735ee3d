"""Errors of DynamoDB."""

from botocore.exceptions import (
    ChecksumError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)


def client_error(code: str, status: int) -> ClientError:
    response = {"Error": {"Code": code, "Message": "secret"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "UpdateItem")  # type: ignore[arg-type]


REFUSED = EndpointConnectionError(endpoint_url="http://secret")
LOST = ConnectionClosedError(endpoint_url="http://secret")
SLOW = ReadTimeoutError(endpoint_url="http://secret")
GARBLED = ChecksumError(checksum_type="crc32", expected_checksum="1", actual_checksum="2")
THROTTLED = client_error("ProvisionedThroughputExceededException", 400)
BROKEN = client_error("InternalServerError", 500)
