"""A restore from point-in-time recovery, as docs/operations.md describes it. moto replaces DynamoDB."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from flask.testing import FlaskCliRunner

from cart import create_app
from tests.support.stores import CUP, make_store


def test_create_corrects_a_restored_table(moto_url):
    """A restored table has no TTL, recovery or stream:

    `table status` reports this, and `table create` turns them on.
    """
    store = make_store("moto", moto_url, with_stream=True)
    create_app(store.config).test_client().post("/cart/anna/items", json=CUP)
    restored = replace(store.config, dynamodb_table_name=f"restored-{uuid.uuid4().hex[:8]}")
    store.client.restore_table_to_point_in_time(
        SourceTableName=store.config.dynamodb_table_name,
        TargetTableName=restored.dynamodb_table_name,
        RestoreDateTime=datetime.now(UTC),
    )
    # AWS restores billing and encryption too, moto does not, and it cannot change encryption
    store.client.update_table(TableName=restored.dynamodb_table_name, BillingMode="PAY_PER_REQUEST")
    app = create_app(restored)
    runner = app.test_cli_runner()
    assert differing_aspects(runner) == ["ttl", "recovery", "encryption", "stream"]
    output = runner.invoke(args=["table", "create"]).output
    assert "differs and cannot be changed in place: encryption is" in output
    assert differing_aspects(runner) == ["encryption"]
    assert app.test_client().get("/cart/anna").json["total_items"] == CUP["quantity"]


def differing_aspects(runner: FlaskCliRunner) -> list[str]:
    """Return the aspects that `table status` reports as different."""
    output = runner.invoke(args=["table", "status"]).output
    return [line.partition(":")[0] for line in output.splitlines() if "must be" in line]
