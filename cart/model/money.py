"""Amounts of money: decimals with two places."""

from decimal import Decimal

CENT = Decimal("0.01")
