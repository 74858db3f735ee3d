"""`make deploy` and `make update` read what `zappa status --json` prints."""

import pytest

from deploy.stages import read_status
from tests.support.project import ROOT

# of `zappa status local --json`, Zappa 0.63.0, a stage on moto: a warning, and then the JSON
RECORDED = (ROOT / "tests/aws/zappa_status.txt").read_text()
URL = "https://lsb675prui.execute-api.us-east-1.amazonaws.com/local"


def test_recorded_output_begins_with_a_warning():
    assert RECORDED.startswith("Warning! You may have a namespace collision")
    assert not RECORDED.startswith("{")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("", "Done {in 3 s}\n"),
        ("{'not': JSON}\n", ""),
        ('{"a": "warning in JSON"}\n', ""),
        ("HTTPSConnectionPool(host='pypi.org', port=443): {}\n", "\n\n"),
    ],
)
def test_status_is_read_whatever_else_is_printed(before, after):
    status = read_status(before + RECORDED + after)
    assert status["API Gateway URL"] == URL
    assert status["Lambda Name"] == "cart-local"


@pytest.mark.parametrize("output", ["", "Warning!\n", '{"Lambda Name": "cart-local"}\n', "{broken\n"])
def test_output_without_a_url_prints_one_line(output):
    with pytest.raises(SystemExit, match=r"^cart: zappa status --json printed no API Gateway URL: .*$"):
        read_status(output)
