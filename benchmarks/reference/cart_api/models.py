"""The shapes of requests and responses, with the bounds that Cart has."""

from decimal import Decimal
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, computed_field

MAX_PRODUCT_ID = 2**53 - 1
MAX_QUANTITY = 999

UserId = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:@|=+,-]{1,128}$")]
ProductIdInPath = Annotated[int, Path(ge=1, le=MAX_PRODUCT_ID)]
ProductId = Annotated[int, Field(strict=True, ge=1, le=MAX_PRODUCT_ID)]
Units = Annotated[int, Field(strict=True, ge=1, le=MAX_QUANTITY)]
Money = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
Price = Annotated[Money, Field(ge=Decimal("0.01"), le=Decimal("9999999.99"), decimal_places=2)]


class Quantity(BaseModel):
    model_config = ConfigDict(extra="forbid")

    quantity: Units


class Item(Quantity):
    product_id: ProductId
    product_name: Annotated[str, Field(min_length=1, max_length=200)]
    price: Price


class Line(BaseModel):
    product_id: int
    product_name: str
    quantity: int
    price: Money
    added_at: str

    @computed_field
    @property
    def subtotal(self) -> Money:
        return self.price * self.quantity


class Cart(BaseModel):
    user_id: str
    items: list[Line]

    @computed_field
    @property
    def total_items(self) -> int:
        return sum(line.quantity for line in self.items)

    @computed_field
    @property
    def total_price(self) -> Money:
        return sum((line.subtotal for line in self.items), Decimal())


class Health(BaseModel):
    status: str = "ok"
