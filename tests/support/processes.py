"""The processes of a service: which are whose."""

from pathlib import Path


def descendants(pid: int) -> set[int]:
    children = {int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if parent_of(stat) == pid}
    return children.union(*map(descendants, children))


def parent_of(stat: Path) -> int | None:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None  # it has just ended
