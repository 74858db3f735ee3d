"""The parts of the current app, as ``create_app`` joined them."""

from flask import current_app

from cart.bus import Bus
from cart.config import Config
from cart.dynamodb.table import CartTable
from cart.http.api import CartApi


def get_config() -> Config:
    """Return the app's settings."""
    config: Config = current_app.extensions["cart_config"]
    return config


def get_table() -> CartTable:
    """Return the app's table of carts."""
    table: CartTable = current_app.extensions["cart_table"]
    return table


def get_api() -> CartApi:
    """Return the app's API, which has its OpenAPI document."""
    api: CartApi = current_app.extensions["cart_api"]
    return api


def get_bus() -> Bus:
    """Return the app's client of EventBridge."""
    bus: Bus = current_app.extensions["cart_bus"]
    return bus
