"""Read the metrics in a log line."""

from cart.logs import METRICS


def read_embedded(line):
    """Return the metrics as CloudWatch reads them ("Embedded metric format specification")."""
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert isinstance(line["_aws"]["Timestamp"], int)
    assert directive["Namespace"] == "Shop"
    assert directive["Dimensions"] == [["Environment"]]
    assert line["Environment"] == "dev"
    values = {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]}
    assert all(isinstance(value, int | float) for value in values.values())
    assert all(METRICS[metric["Name"]] == metric["Unit"] for metric in directive["Metrics"])
    assert values.pop("Duration", 1) > 0
    return values
