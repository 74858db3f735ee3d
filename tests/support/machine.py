"""Let a test have the whole machine while the workers of pytest-xdist run other tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock
from pathlib import Path

from tests.support.project import ROOT

MACHINE, QUEUE = Path(__file__), ROOT / "pyproject.toml"  # any two files that all workers can lock


@contextmanager
def share_machine(alone: bool) -> Iterator[None]:
    """Run the ``with`` block beside those of the other workers, or, if ``alone``, while none of them runs one."""
    with QUEUE.open() as queue, MACHINE.open() as machine:
        flock(queue, LOCK_EX)  # without a queue, others would overtake the block that waits to be alone
        flock(machine, LOCK_EX if alone else LOCK_SH)
        flock(queue, LOCK_UN)
        try:
            yield
        finally:
            flock(machine, LOCK_UN)  # closing is not enough if a forked process still has the file open
