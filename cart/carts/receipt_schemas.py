"""The shapes of receipts: what a merge, a copy, a move between lists or a validation did to each line."""

from typing import TYPE_CHECKING, Any

from marshmallow import fields, pre_dump, validate

from cart.carts.schemas import CartAndSavedSchema, LineSchema, line_schema
from cart.http.converters import UserId
from cart.http.fields import INT64, Length, OneOf, Price, StrictBoolean
from cart.http.schema import JsonSchema, RequestSchema
from cart.model.lines import (
    CHANGED,
    DISCONTINUED,
    INSUFFICIENT_STOCK,
    LEFT,
    OUT_OF_STOCK,
    PRICE_CHANGED,
    SAVED_FOR_LATER,
    UNREADABLE,
)
from cart.model.transfer import COPY, LINES_LIMIT, MOVE, QUANTITY_LIMIT, STRATEGIES, Move

if TYPE_CHECKING:
    from cart.model.validation import Check


class MovedLineSchema(LineSchema):
    """The line that a move made, of a ``Move``."""

    cut = fields.Integer(
        required=True, metadata={"description": "Units that were removed, since they exceed the limit"}
    )

    @pre_dump
    def _line_and_cut(self, move: Move, **_: Any) -> dict[str, Any]:
        return {name: getattr(move.result, name) for name in line_schema.fields} | {"cut": move.cut}

    def fast_dumps(self, move: Any) -> str:
        return f'{super().fast_dumps(move.result)[:-1]}, "cut": {move.cut}}}'


class TransferRequestSchema(RequestSchema):
    """How lines join those of another cart."""

    strategy = fields.String(
        load_default="sum",
        validate=OneOf(STRATEGIES),
        metadata={
            "description": "The quantity of a product that both have: `sum` of both, `max`, `keep` (the target's) or "
            "`replace` (the source's)"
        },
    )
    dry_run = StrictBoolean(
        load_default=False, metadata={"description": "Answer what would be done, and change nothing"}
    )


class MergeRequestSchema(TransferRequestSchema):
    source_user_id = fields.String(
        required=True,
        validate=validate.Regexp(rf"^(?:{UserId.pattern})\Z", error=UserId.message),
        metadata={
            "pattern": UserId.documented_pattern,
            "description": "A guest's cart; with the admin scope, any cart",
        },
    )


class CopyRequestSchema(TransferRequestSchema):
    share_token = fields.String(required=True, validate=Length(1, 200))


class QuantityAtPriceSchema(JsonSchema):
    quantity = fields.Integer(required=True, metadata={"description": "Units"})
    price = Price(required=True, metadata={"description": "Of one unit"})


class ReceiptLineSchema(JsonSchema):
    product_id = fields.Integer(required=True, metadata=INT64)
    product_name = fields.String(required=True)
    place = fields.String(
        required=True,
        validate=OneOf(["cart", "saved"]),
        metadata={"description": "The source's list: its cart, or what is saved for later"},
    )
    rule = fields.String(
        required=True,
        validate=OneOf([*STRATEGIES, MOVE, COPY]),
        metadata={"description": "The strategy; if the target did not have the product: `move`, or `copy` in a copy"},
    )
    source = fields.Nested(QuantityAtPriceSchema, required=True, metadata={"description": "The source's line before"})
    target = fields.Nested(
        QuantityAtPriceSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The target's line before; null: it had none"},
    )
    result = fields.Nested(
        QuantityAtPriceSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The target's line after; null: the line stayed in the source"},
    )
    price_from = fields.String(
        required=True,
        allow_none=True,
        validate=OneOf(["source", "target"]),
        metadata={"description": "Whose price and name are newer and were kept: `source` or `target`"},
    )
    cut = fields.Integer(
        required=True, metadata={"description": "Units that were removed, since they exceed the limit"}
    )
    reason = fields.String(
        required=True,
        allow_none=True,
        validate=OneOf([QUANTITY_LIMIT, LINES_LIMIT]),
        metadata={
            "description": f"`{QUANTITY_LIMIT}`: units were removed; `{LINES_LIMIT}`: the line stayed in the source"
        },
    )


class ReceiptSchema(JsonSchema):
    strategy = fields.String(required=True, validate=OneOf(STRATEGIES))
    dry_run = fields.Boolean(required=True)
    lines = fields.List(fields.Nested(ReceiptLineSchema), required=True)
    cart = fields.Nested(CartAndSavedSchema, required=True, metadata={"description": "The target after the change"})


class LineProblemSchema(JsonSchema):
    type = fields.String(
        required=True,
        validate=OneOf([PRICE_CHANGED, OUT_OF_STOCK, INSUFFICIENT_STOCK, DISCONTINUED, UNREADABLE]),
        metadata={
            "description": f"`{PRICE_CHANGED}`: the catalogue has another price; `{OUT_OF_STOCK}`: none is in stock; "
            f"`{INSUFFICIENT_STOCK}`: fewer units are in stock than the line has; "
            f"`{DISCONTINUED}`: the catalogue does not know the product any more; `{UNREADABLE}`: its data of the "
            "product cannot be understood"
        },
    )
    old = Price(metadata={"description": f"With `{PRICE_CHANGED}`: the line's price"})
    new = Price(metadata={"description": f"With `{PRICE_CHANGED}`: the catalogue's"})
    available = fields.Integer(metadata={"description": f"With `{INSUFFICIENT_STOCK}`: units in stock"})


class LineFixSchema(QuantityAtPriceSchema):
    action = fields.String(
        required=True,
        validate=OneOf([CHANGED, SAVED_FOR_LATER, LEFT]),
        metadata={
            "description": f"`{CHANGED}`: the line was corrected; `{SAVED_FOR_LATER}`: it was moved to the saved list; "
            f"`{LEFT}`: it is unchanged, because the saved list has no room for it or its product is `{UNREADABLE}`"
        },
    )
    quantity = fields.Integer(required=True, metadata={"description": "Of the line after the fix"})
    price = Price(required=True, metadata={"description": "Of the line after the fix"})
    cut = fields.Integer(
        required=True, metadata={"description": "Units that were removed, since they exceed the stock or the limit"}
    )


class CheckedLineSchema(JsonSchema):
    product_id = fields.Integer(required=True, metadata=INT64)
    product_name = fields.String(required=True)
    quantity = fields.Integer(required=True, metadata={"description": "Before the fix"})
    price = Price(required=True, metadata={"description": "Before the fix"})
    problems = fields.List(
        fields.Nested(LineProblemSchema), required=True, metadata={"description": "Empty if the line is right"}
    )
    fix = fields.Nested(LineFixSchema, metadata={"description": "With `fix=true`, if the line had a problem"})

    @pre_dump
    def _line_and_fix(self, checked: "Check | dict[str, Any]", **_: Any) -> dict[str, Any]:
        """Return the members of a check; those of one that was read from a receipt are there already."""
        if isinstance(checked, dict):
            return checked
        line, result = checked.line, checked.result
        members = {name: getattr(line, name) for name in ("product_id", "product_name", "quantity", "price")}
        members["problems"] = checked.problems
        if result:
            members["fix"] = {
                "action": checked.action,
                "quantity": result.quantity,
                "price": result.price,
                "cut": checked.cut,
            }
        return members


class ValidationSchema(JsonSchema):
    valid = fields.Boolean(
        required=True, metadata={"description": "No line has a problem; with `fix=true`: after the fix"}
    )
    lines = fields.List(fields.Nested(CheckedLineSchema), required=True)
    cart = fields.Nested(CartAndSavedSchema, metadata={"description": "With `fix=true`: the cart after the fix"})


moved_line_schema = MovedLineSchema()
receipt_schema = ReceiptSchema()
validation_schema = ValidationSchema()
