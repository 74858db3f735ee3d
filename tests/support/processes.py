"""The processes of a service: which belong to which, and which are still running."""

import time
from pathlib import Path


def descendants(pid: int) -> set[int]:
    children = {int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if parent_of(stat) == pid}
    return children.union(*map(descendants, children))


def parent_of(stat: Path) -> int | None:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None  # it has just ended


def all_started(pid: int, processes: int = 6) -> set[int]:
    """Return the guardian, the engine, the counting process, gunicorn and its two workers."""
    deadline = time.monotonic() + 30
    while len(started := descendants(pid)) < processes:
        assert time.monotonic() < deadline, started
        time.sleep(0.1)
    return started


def still_running(pids: set[int]) -> set[int]:
    """Return the processes that are running. An ended one can stay in the table until init has collected it."""
    return {pid for pid in pids if state_of(pid) not in (None, "Z")}


def state_of(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
