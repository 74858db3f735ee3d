"""What Zappa calls without HTTP."""

import logging
from typing import Any

from flask import current_app

from cart.observability import embedded_metrics, info
from cart.table import get_table

logger = logging.getLogger(__name__)


def report_table_size(event: Any, context: Any) -> None:
    """Log the table's items and bytes as metrics, which DynamoDB does not send to CloudWatch itself."""
    from wsgi import app  # noqa: PLC0415 - made by then, with its client

    with app.app_context():
        items, size_bytes = get_table().size()
        values = {"TableItems": items, "TableSize": size_bytes}
        config = current_app.config
        metrics = embedded_metrics(config["METRICS_NAMESPACE"], config["ENVIRONMENT"], values)
        info(logger, f"The table has {items} items of {size_bytes} bytes", metrics)
