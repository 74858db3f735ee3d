"""Complete the operations of the OpenAPI document: an operationId, the responses in order, and common headers."""

import re
from typing import Any

from apispec import APISpec, BasePlugin
from werkzeug.routing import Rule

from cart.http.headers import IDEMPOTENCY_KEY, REPLAYED, REQUEST_ID


class OperationPlugin(BasePlugin):
    """Complete each operation that flask-smorest makes of a view."""

    def init_spec(self, spec: APISpec) -> None:
        """Read what the document says of all operations."""
        self._security = spec.options["security"]

    def operation_helper(self, path: str | None = None, operations: Any = None, **options: Any) -> None:
        """Complete the operations of a route.

        :param options: ``rule``, the route
        """
        for operation in (operations or {}).values():
            _complete(operation, options["rule"])
            if operation.get("security") == [] and "401" in operation["responses"]:  # a token can be sent or left out
                operation["security"] = self._security and [{}, *self._security]


def _complete(operation: dict[str, Any], rule: Rule) -> None:
    parameters = operation.setdefault("parameters", [])
    headers = {REQUEST_ID: REQUEST_ID} | ({REPLAYED: REPLAYED} if IDEMPOTENCY_KEY in parameters else {})
    parameters.append(REQUEST_ID)
    operation["operationId"] = operation_id(rule)
    answers = sorted(operation["responses"].items(), key=lambda item: int(item[0]))
    operation["responses"] = {str(status): answer for status, answer in answers}
    for response in operation["responses"].values():
        if isinstance(response, dict):  # no reference to a problem, whose headers are in the components
            response["headers"] = response.get("headers", {}) | headers


def operation_id(rule: Rule) -> str:
    """Return the operationId of a route: the name of its view, in camel case."""
    return re.sub("_(.)", lambda match: match[1].upper(), rule.endpoint.rpartition(".")[2])
