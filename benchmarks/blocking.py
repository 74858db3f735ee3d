"""The reference as it is most often written: with ``async`` views, which boto3 makes block the event loop."""

import functools
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from cart_api import main


def _blocking(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    async def blocking(*args: Any, **given: Any) -> Any:
        return view(*args, **given)

    return blocking


app = FastAPI(title=main.app.title)
for route in main.app.routes:
    if isinstance(route, APIRoute):
        app.add_api_route(
            route.path,
            _blocking(route.endpoint),
            methods=list(route.methods),
            status_code=route.status_code,
            name=route.name,
        )
