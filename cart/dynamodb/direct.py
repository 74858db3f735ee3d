"""The short way of the calls that shoppers wait for: what botocore would send and answer, for a fraction of the work.

botocore makes the first request of each operation; those that follow differ from it by their body alone. Where somebody
has registered a hook of a call, botocore makes each request and calls the hook, and only the exchange itself is ours. A
request that is not plain goes botocore's way altogether, and an answer that is not plain goes to botocore's parser.
Connections are made by its own pool: timeouts, TLS, CA bundle and client certificate are as it has them.

Nothing is sent twice. What fails before a byte was written is left to botocore, or is an error that says so; what fails
later is one that says that the request may have been carried out.
"""

import hmac
import os
import re
import time
import weakref
from collections import deque
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any, NamedTuple
from zlib import crc32

import orjson
from botocore import xform_name
from botocore.exceptions import (
    ChecksumError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from botocore.handlers import add_recursion_detection_header, inject_api_version_header_if_needed
from botocore.parsers import create_parser
from botocore.retries.standard import RetryQuotaChecker
from urllib3.exceptions import ConnectTimeoutError as PoolTimeoutError
from urllib3.exceptions import NewConnectionError

from cart.dynamodb.http1 import Answer, ask, is_disturbed

# Their answers have no times: but for what _may_differ, they are to botocore what they are to json
OPERATIONS = {"Query", "GetItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
MAX_IDLE = 50  # connections that are kept, as many as a worker can use at once
PLAIN_HOST = set("abcdefghijklmnopqrstuvwxyz0123456789.:_-")
PLAIN_PATH = PLAIN_HOST - set(".:") | set("ABCDEFGHIJKLMNOPQRSTUVWXYZ/")
PLAIN_HEADERS = {"X-Amz-Target", "Content-Type", "User-Agent", "X-Amzn-Trace-Id"}
PLAIN_CONTEXT = {
    *("client_region", "client_config", "has_streaming_input", "auth_type", "unsigned_payload", "auth_options"),
    "endpoint_properties",
}


class Target(NamedTuple):
    """Where the requests of one URL go.

    :ivar pool: urllib3's, which makes its connections
    :ivar idle: connections on which nothing is under way
    """

    pool: Any
    host: str
    path: str
    idle: deque[Any]


class _Learned(NamedTuple):
    """How botocore made a request of an operation, which nobody's hook had a part in. All but the body holds for the
    next, while the credentials do, and until a hook is registered.

    :ivar hooks: the client's cache of them, which is another object from then on
    """

    model: Any
    url: str
    headers: dict[str, str]
    access_key: str
    hooks: Any


def attach(client: Any) -> None:
    """Let a client of DynamoDB that does not retry go the short way, unless somebody sends its requests himself.

    Its calls name their table, and not by its ARN: to botocore, that is another endpoint.
    """
    if client.meta.events._emitter._handlers.prefix_search("before-send.dynamodb"):
        return
    lean = _LeanPath(client)
    client.meta.events.register_last("before-call", lean.answer)
    for operation in OPERATIONS:
        name = xform_name(operation)
        setattr(client, name, partial(lean.call, operation, getattr(client, name)))


def refuse_damaged(response_dict: dict[str, Any], **_: Any) -> None:
    """botocore without retries takes an answer that was cut short, or damaged on its way, for a good one.

    :raise ChecksumError: it is not what DynamoDB sent
    """
    sent = response_dict["headers"].get("x-amz-crc32")
    if sent is not None and sent != (came := str(crc32(response_dict["body"]))):
        raise ChecksumError(checksum_type="crc32", expected_checksum=sent, actual_checksum=came)


# What botocore and we register for each call. The first two bring nothing but the trace id, the last nothing at all
OWN_HOOKS = {
    *(add_recursion_detection_header, inject_api_version_header_if_needed, refuse_damaged),
    RetryQuotaChecker.release_retry_quota,
}
EVENTS = ("provide-client-params", "before-call", "before-parse", "after-call")


class _LeanPath:
    def __init__(self, client: Any) -> None:
        self._events = client.meta.events
        self._exceptions = client.exceptions
        self._signer = client._request_signer
        self._learned: dict[str, _Learned] = {}
        self._session = client._endpoint.http_session
        self._answer_within_seconds = client.meta.config.read_timeout
        self._targets: dict[str, Target | None] = {}
        weakref.finalize(self, _close_idle, self._targets)
        self._process = os.getpid()
        self._may_be_traced = "AWS_LAMBDA_FUNCTION_NAME" in os.environ

    def call(self, operation: str, by_botocore: Any, **params: Any) -> Any:
        """What the client's method does, which is ``by_botocore``."""
        learned = self._learned.get(operation)
        if (
            learned is None
            or learned.hooks is not self._events._emitter._lookup_cache
            or (operation == "TransactWriteItems" and "ClientRequestToken" not in params)
        ):
            return by_botocore(**params)
        headers = learned.headers
        if self._may_be_traced:
            headers = headers.copy()
            add_recursion_detection_header({"headers": headers})
        credentials = _credentials(self._signer)
        if not credentials or credentials.access_key != learned.access_key:
            self._learned.pop(operation, None)
            return by_botocore(**params)
        body = _body(params)
        came = body and self._ask(learned.url, headers, body, credentials)
        if not came:
            return by_botocore(**params)
        refuse_damaged({"headers": came.headers, "body": came.content})
        parsed = _parsed(learned.model, came)
        if came.status_code >= 300:
            error = parsed.get("Error", {})
            raise self._exceptions.from_code(error.get("QueryErrorCode") or error.get("Code"))(parsed, operation)
        return parsed

    def answer(
        self, model: Any, params: Any, context: Any, request_signer: Any, **_: Any
    ) -> tuple[Answer, dict[str, Any]] | None:
        """Answer a ``before-call`` event, or leave it to botocore by None."""
        if model.name not in OPERATIONS or not _is_plain(params, context, request_signer):
            return None
        credentials = _credentials(request_signer)
        came = credentials and self._ask(params["url"], params["headers"], params["body"], credentials)
        if not came:
            return None
        self._learn(model, params, credentials)
        response = {"headers": came.headers, "status_code": came.status_code, "body": came.content, "context": {}}
        custom: dict[str, Any] = {}
        self._events.emit(
            f"before-parse.dynamodb.{model.name}",
            operation_model=model,
            response_dict=response,
            customized_response_dict=custom,
        )
        return came, _parsed(model, came) | custom

    def _learn(self, model: Any, params: Any, credentials: Any) -> None:
        emitter = self._events._emitter
        hooks = emitter._lookup_cache
        found = {
            getattr(hook, "__func__", hook)
            for event in EVENTS
            for hook in emitter._handlers.prefix_search(f"{event}.dynamodb.{model.name}")
        }
        if found <= OWN_HOOKS | {_LeanPath.answer}:
            headers = {name: text for name, text in params["headers"].items() if name != "X-Amzn-Trace-Id"}
            self._learned[model.name] = _Learned(model, params["url"], headers, credentials.access_key, hooks)

    def _ask(self, url: str, headers: dict[str, str], body: bytes, credentials: Any) -> Answer | None:
        """Send a request and read the answer. None, and nothing is sent, where it is botocore's business."""
        target = self._target(url)
        request = target and _signed(target, headers, body, self._signer, credentials)
        if not target or not request:
            return None
        connection = _connection(target, url)
        return self._exchange(target, connection, request, url) if connection else None

    def _target(self, url: str) -> Target | None:
        """None where a request does not go straight to a plain host."""
        if os.getpid() != self._process:  # forked: the connections are the parent's
            _close_idle(self._targets)
            self._session.close()
            self._process = os.getpid()
        if url not in self._targets:  # another thread may have added it meanwhile, and have used its connections
            self._targets.setdefault(url, self._new_target(url))
        return self._targets[url]

    def _new_target(self, url: str) -> Target | None:
        host, slash, path = url.partition("://")[2].partition("/")
        plain = PLAIN_HOST.issuperset(host) and PLAIN_PATH.issuperset(path) and "//" not in slash + path
        if not plain or host.endswith((":80", ":443")) or self._session._proxy_config.proxy_url_for(url):
            return None
        pool = self._session._manager.connection_from_url(url)
        self._session._setup_ssl_cert(pool, url, self._session._verify)
        return Target(pool, host, f"/{path}", deque())

    def _exchange(self, target: Target, connection: Any, request: bytes, url: str) -> Answer:
        """:raise HTTPClientError: the request may have been carried out"""
        reusable = False
        try:
            answer, reusable = ask(connection.sock, request, self._answer_within_seconds)
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=url, error=error) from error
        except (OSError, ValueError) as error:
            raise ConnectionClosedError(endpoint_url=url, error=error) from error
        finally:
            if reusable and len(target.idle) < MAX_IDLE:
                target.idle.append(connection)
            else:
                connection.close()
        return answer


def _close_idle(targets: dict[str, Target | None]) -> None:
    for target in list(targets.values()):
        for connection in target.idle if target else ():
            connection.close()
    targets.clear()


def _body(params: dict[str, Any]) -> bytes | None:
    """None of what is not JSON, such as a lone surrogate: botocore has a word for that."""
    try:
        return orjson.dumps(params)
    except TypeError:
        return None


def _is_plain(params: Any, context: Any, signer: Any) -> bool:
    headers = params["headers"]
    return (
        headers.keys() <= PLAIN_HEADERS
        and context.keys() <= PLAIN_CONTEXT
        and params["method"] == "POST"
        and isinstance(params["body"], bytes)
        and (context["auth_type"] or signer.signature_version) == "v4"
        and not context["client_config"].auth_scheme_preference
    )


def _credentials(signer: Any) -> Any:
    """As the signer would take them, refreshed where that is due; None where there are none."""
    return signer._credentials and signer._credentials.get_frozen_credentials()


@lru_cache(2)
def _timestamp(second: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))


def _signed(target: Target, headers: dict[str, str], body: bytes, signer: Any, credentials: Any) -> bytes | None:
    """The request as it goes over the wire; None where something in it would break its head."""
    host, path = target.host, target.path
    scope = (_timestamp(int(time.time())), signer.region_name, signer.signing_name)
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "Accept-Encoding: identity",
        *[f"{name}: {value}" for name, value in headers.items()],
        f"X-Amz-Date: {scope[0]}",
        f"Authorization: {authorization(host, path, headers, body, credentials, *scope)}",
        f"Content-Length: {len(body)}",
    ]
    if credentials.token:
        lines.append(f"X-Amz-Security-Token: {credentials.token}")
    text = "".join(lines)
    return "\r\n".join([*lines, "\r\n"]).encode() + body if text.isascii() and text.isprintable() else None


def authorization(
    host: str, path: str, headers: Any, body: bytes, credentials: Any, timestamp: str, region: str, service: str
) -> str:
    """The header of that name of a POST, by AWS's Signature Version 4.

    :param timestamp: as ``20261123T140211Z``
    """
    token = f"x-amz-security-token:{' '.join(credentials.token.split())}\n" if credentials.token else ""
    names = f"content-type;host;x-amz-date;{'x-amz-security-token;' if token else ''}x-amz-target"
    canonical = (
        f"POST\n{path}\n\n"
        f"content-type:{headers['Content-Type']}\nhost:{host}\nx-amz-date:{timestamp}\n{token}"
        f"x-amz-target:{headers['X-Amz-Target']}\n\n{names}\n{sha256(body).hexdigest()}"
    )
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = _signing_key(credentials.secret_key, timestamp[:8], region, service)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"


@lru_cache(8)  # more than one while the day or the credentials change
def _signing_key(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _connection(target: Target, url: str) -> Any:
    """A connection on which nothing is under way; None where botocore is to find out why there is none."""
    connection = _idle_connection(target.idle)
    if connection:
        return connection
    connection = target.pool._new_conn()
    try:
        connection.connect()
    except NewConnectionError as error:
        raise EndpointConnectionError(endpoint_url=url, error=error) from error
    except (PoolTimeoutError, TimeoutError) as error:
        raise ConnectTimeoutError(endpoint_url=url, error=error) from error
    except Exception:
        connection.close()
        return None
    return connection


def _idle_connection(idle: deque[Any]) -> Any:
    """The one that was used last, if there is any that is as it was left."""
    while True:
        try:
            connection = idle.pop()
        except IndexError:
            return None
        if not is_disturbed(connection):
            return connection
        connection.close()


def _parsed(model: Any, came: Answer) -> dict[str, Any]:
    parsed = _plain(model, came) or _by_botocore(model, came)
    parsed["ResponseMetadata"]["RetryAttempts"] = 0
    return parsed


def _plain(model: Any, came: Answer) -> dict[str, Any] | None:
    """The parsed answer; None where botocore's might be another."""
    if came.status_code != 200 or _may_differ(came.content):
        return None
    try:
        parsed = orjson.loads(came.content)
    except ValueError:
        return None
    if not isinstance(parsed, dict) or not parsed.keys() <= model.output_shape.members.keys():
        return None
    metadata: dict[str, Any] = {"HTTPStatusCode": 200, "HTTPHeaders": came.headers}
    if "x-amzn-requestid" in came.headers:
        metadata["RequestId"] = came.headers["x-amzn-requestid"]
    parsed["ResponseMetadata"] = metadata
    return parsed


_find_null = re.compile(b"null").search


def _may_differ(content: bytes) -> bool:
    """There may be binary values, any letter of whose names may be escaped, or nulls, which botocore leaves out.

    One byte is found in a twentieth of the time that two take, and four by ``re`` in half of what ``in`` takes.
    """
    return bool(
        (b"B" in content and (b'"B"' in content or b'"BS"' in content))
        or (b"\\" in content and b"\\u00" in content)
        or _find_null(content)
    )


def _by_botocore(model: Any, came: Answer) -> dict[str, Any]:
    """As its ``Endpoint`` does it. An error's own fields, such as the row that failed a condition, are parsed apart."""
    response = {"headers": came.headers, "status_code": came.status_code, "body": came.content, "context": {}}
    parser = create_parser(model.service_model.resolved_protocol)
    parsed: dict[str, Any] = parser.parse(response, model.output_shape)
    code = parsed.get("Error", {}).get("Code")
    shape = model.service_model.shape_for_error_code(code) if code else None
    if shape and came.status_code >= 300:
        parsed.update(parser.parse(response, shape))
    return parsed
