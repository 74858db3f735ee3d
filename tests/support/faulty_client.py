"""A client of AWS that fails, or runs code of a test; it wraps the direct client or boto3's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from botocore.exceptions import ClientError


class Hook(NamedTuple):
    """Code that a test runs at the calls of an operation, or of all.

    :ivar moment: ``before`` or ``after`` a call, also after an error of AWS; ``change`` may return other parameters
    :ivar act: called with ``operation``, ``params`` and, after the call, ``answer``
    """

    moment: str
    act: Callable[..., Any]
    operation: str | None


class FaultyClient:
    """Call the hooks of a test at each operation; everything else is the wrapped client's."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.hooks: list[Hook] = []

    def on(self, moment: str, act: Callable[..., Any], operation: str | None = None) -> Hook:
        """Call a hook from now on, see ``Hook``."""
        hook = Hook(moment, act, operation)
        self.hooks.append(hook)
        return hook

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.client, name)
        operation = self.client.meta.method_to_api_mapping.get(name)
        return partial(self._call, attribute, operation) if self.hooks and operation else attribute

    def _call(self, send: Any, operation: str, **params: Any) -> Any:
        for change in self._acts("change", operation):
            params = change(operation=operation, params=params) or params
        for act in self._acts("before", operation):
            act(operation=operation, params=params)
        try:
            answer = send(**params)
        except ClientError as error:
            self._act_after(operation, params, error.response)
            raise
        self._act_after(operation, params, answer)
        return answer

    def _act_after(self, operation: str, params: Any, answer: Any) -> None:
        for act in self._acts("after", operation):
            act(operation=operation, params=params, answer=answer)

    def _acts(self, moment: str, operation: str) -> list[Callable[..., Any]]:
        return [hook.act for hook in self.hooks if hook.moment == moment and hook.operation in (None, operation)]


@contextmanager
def hooked(holder: Any, moment: str, act: Callable[..., Any], operation: str | None = None) -> Iterator[None]:
    """Call a hook at the calls of ``holder.client``, such as a gateway's or the bus's; see ``Hook``."""
    hook = holder.client.on(moment, act, operation)
    try:
        yield
    finally:
        holder.client.hooks.remove(hook)


@contextmanager
def failing(holder: Any, operation: str, errors: list[Exception], applied: bool = False) -> Iterator[list[str]]:
    """Make the next calls fail, one for each error; with ``applied``, after they were carried out. Yield the calls."""
    calls: list[str] = []
    remaining = list(errors)

    def fail(**_: Any) -> None:
        calls.append(operation)
        if remaining:
            raise remaining.pop(0)

    with hooked(holder, "after" if applied else "before", fail, operation):
        yield calls
