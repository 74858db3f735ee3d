"""The reference: Cart's endpoints as one would write them with FastAPI, and Mangum to put them on Lambda.

The routes are on the app itself: a router's would each be made twice. The views are not ``async``, as boto3 is not.
Of Cart it has the endpoints, the bounds and the table; it does without logs, request ids, problem+json and retries.
"""

from botocore.exceptions import BotoCoreError, ClientError
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from mangum import Mangum

from cart_api.models import Cart, Health, Item, Line, ProductIdInPath, Quantity, UserId
from cart_api.table import CartTable, LineNotFound, QuantityLimit, connect

app = FastAPI(title="Cart")
table = CartTable(connect())


@app.exception_handler(ClientError)
@app.exception_handler(BotoCoreError)
@app.exception_handler(TimeoutError)
def unavailable(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "Try again shortly"}, 503, {"Retry-After": "1"})


@app.get("/cart/{user_id}")
def get_cart(user_id: UserId) -> Cart:
    return Cart(user_id=user_id, items=table.lines(user_id))


@app.post("/cart/{user_id}/items", status_code=201)
def add_item(user_id: UserId, item: Item, response: Response) -> Line:
    try:
        line = table.add_item(user_id, item)
    except QuantityLimit:
        raise HTTPException(409, "Too many units of one product") from None
    response.headers["Location"] = app.url_path_for("set_quantity", user_id=user_id, product_id=item.product_id)
    return line


@app.put("/cart/{user_id}/items/{product_id}")
def set_quantity(user_id: UserId, product_id: ProductIdInPath, body: Quantity) -> Line:
    try:
        return table.set_quantity(user_id, product_id, body.quantity)
    except LineNotFound:
        raise HTTPException(404, "No such line") from None


@app.delete("/cart/{user_id}/items/{product_id}", status_code=204)
def remove_item(user_id: UserId, product_id: ProductIdInPath) -> None:
    table.remove_item(user_id, product_id)


@app.delete("/cart/{user_id}", status_code=204)
def clear(user_id: UserId) -> None:
    table.clear(user_id)


@app.get("/health")
def alive() -> Health:
    return Health()


@app.get("/health/ready")
def ready() -> Health:
    table.check()
    return Health()


handler = Mangum(app, lifespan="off")
