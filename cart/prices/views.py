"""The views of products: the change of a price, who has one in the cart; and what the shopper says to a change."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from flask import Response

from cart.carts.examples import EXAMPLE_CART
from cart.carts.schemas import cart_schema
from cart.dynamodb.idempotency import UNFINISHED, KeptAnswer, Step, carry_out_once, split_actions
from cart.errors import BODY, CALLER, STORE, CartVersionConflict, InvalidInput, JobNotFound, OutcomeUnknown
from cart.http.blueprint import CartBlueprint
from cart.http.extensions import get_table
from cart.http.headers import IF_MATCH, etag_of, location_of
from cart.http.request import if_match_etags, matches_cart
from cart.http.response import absolute_path, respond_kept
from cart.logs import info
from cart.model.lines import CART, cart_of, iso, live, with_price
from cart.prices import jobs
from cart.prices.job_rows import Job, holders, live_lines, read_job
from cart.prices.schemas import (
    EXAMPLE_HOLDERS,
    EXAMPLE_PRICE_JOB,
    AcceptRequestSchema,
    HoldersQuerySchema,
    HoldersSchema,
    PriceRequestSchema,
    price_job_schema,
)

logger = logging.getLogger(__name__)

blueprint = CartBlueprint(
    "products", __name__, description="Price changes, and the carts that hold a product; needs the admin scope"
)


@blueprint.route("/products/<product_id:product_id>/price", methods=["PUT"])
@blueprint.problems(*CALLER, *BODY, *STORE, OutcomeUnknown)
@blueprint.arguments(
    PriceRequestSchema, example={"price": EXAMPLE_PRICE_JOB["price"], "changed_at": "2026-11-23T14:00:00Z"}
)
@blueprint.response(202, price_job_schema, example=EXAMPLE_PRICE_JOB, headers=location_of("The job"))
def change_price(body: dict[str, Any], product_id: int) -> tuple[Job, int, dict[str, str]]:
    """Change a product's price in all carts

    Every line of the product, in carts and saved, will show the new price. The answer is the job that does this in the
    background. Of two changes, the one with the newer `changed_at` counts, in whatever order they arrive. The same
    change twice is one job. Needs the admin scope.
    """
    info(logger, f"Changing the price of product {product_id}")
    made = jobs.start(product_id, body["price"], body.get("changed_at") or iso(datetime.now(UTC)))
    jobs.resume(made)
    return made, 202, {"Location": absolute_path(f"/products/{product_id}/price-changes/{made.job_id}")}


@blueprint.route("/products/<product_id:product_id>/price-changes/<job_id:job_id>")
@blueprint.problems(JobNotFound, InvalidInput, *CALLER, *STORE)
@blueprint.response(200, price_job_schema, example=EXAMPLE_PRICE_JOB)
def get_price_change(product_id: int, job_id: str) -> Job:
    """Get the progress of a price change

    If the job's worker has crashed, this request makes another one resume it. Needs the admin scope.
    """
    job = read_job(get_table(), job_id)
    if job is None or job.product_id != product_id:
        raise JobNotFound
    jobs.resume(job)
    return job


@blueprint.route("/products/<product_id:product_id>/carts")
@blueprint.problems(InvalidInput, *CALLER, *STORE)
@blueprint.arguments(HoldersQuerySchema, location="query")
@blueprint.response(200, HoldersSchema, example=EXAMPLE_HOLDERS)
def list_carts_with_product(query: dict[str, Any], product_id: int) -> dict[str, Any]:
    """List the carts that hold a product, and the saved lists

    A page can have fewer lines than the limit, because expired lines are left out: read on as long as there is a
    `next_cursor`. A line that was added in the last second may be missing. Needs the admin scope.
    """
    table = get_table()
    page, next_cursor = holders(table, product_id, query["limit"], query.get("cursor"))
    carts = [
        {"user_id": holder.user_id, "place": holder.place}
        | {name: getattr(line, name) for name in ("quantity", "price", "added_at")}
        for holder, line in live_lines(table, product_id, page)
    ]
    return {"product_id": product_id, "carts": carts, "next_cursor": next_cursor}


@blueprint.route("/cart/<user_id:user_id>/price-changes/accept", methods=["POST"], tags=["carts"])
@blueprint.takes(IF_MATCH)
@blueprint.problems(CartVersionConflict, *CALLER, *BODY, *STORE, OutcomeUnknown)
@blueprint.arguments(AcceptRequestSchema, location="optional_json", required=False, example={"product_ids": [42]})
@blueprint.response(200, cart_schema, example=EXAMPLE_CART, headers=etag_of("the cart"))
def accept_price_changes(body: dict[str, Any], user_id: str) -> Response:
    """Accept the current prices, of all lines of the cart or of some products

    The current price of each line becomes its price. Accepting again changes nothing. With `If-Match` and the cart's
    ETag, only if the cart has not changed, so that no price is accepted that the shopper has not seen; else 412, with
    the current cart.
    """
    info(logger, f"Accepting price changes in the cart of user {user_id}")
    product_ids = body.get("product_ids")
    return respond_kept(
        carry_out_once(get_table(), user_id, None, lambda progress: _accept(user_id, product_ids, progress))
    )


def _accept(user_id: str, product_ids: list[int] | None, progress: KeptAnswer | None) -> Iterator[Step]:
    """Read the cart, and yield the transactions that accept; each fails if a line that it changes has changed.

    :param progress: None before the first transaction, which alone fails if ``If-Match`` does not match. The next ones
        then leave out lines that have changed, whose prices the shopper may not have seen
    """
    table, now = get_table(), datetime.now(UTC)
    lines = {line.product_id: line for line in live(table.all_lines(user_id)[CART].values())}
    read = cart_of(user_id, lines.values())
    if_match = if_match_etags()
    if not progress and if_match and not matches_cart(if_match, read.etag):
        raise CartVersionConflict(cart_schema.dump(read), read.etag)
    states = progress.body.split() if progress and if_match else None
    accepted = {
        product_id: with_price(line, line.news.price, now)
        for product_id, line in lines.items()
        if line.news and (not product_ids or product_id in product_ids) and (states is None or line.state in states)
    }
    cart = cart_of(user_id, (lines | accepted).values())
    actions = [table.put_line(user_id, CART, line, lines[product_id]) for product_id, line in accepted.items()]
    *parts, last = split_actions(actions) or [[]]
    for part in parts:
        yield part, KeptAnswer(UNFINISHED, " ".join([lines[product_id].state for product_id in accepted]))
    yield last, KeptAnswer(200, cart_schema.dumps(cart), cart.etag)
