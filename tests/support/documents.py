"""README.md and the pages in docs/: their tables, links, code blocks and commands."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tests.support.project import ROOT

FENCE = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "--- end of the output, status "  # printed after each command in a terminal


class Example(NamedTuple):
    """A command of a ``console`` block, and what it prints."""

    command: str
    output: str


class Block(NamedTuple):
    """A fenced code block.

    :ivar kind: its language, such as ``console``
    :ivar mark: the word after that, "" where there is none
    """

    kind: str
    mark: str
    text: str

    def examples(self) -> list[Example]:
        """Return the commands of a ``console`` block. After a backslash at its end, a command has one more line."""
        if self.kind != "console":
            return []
        pairs = re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", self.text, re.MULTILINE)
        assert "".join(f"$ {command}\n{output}" for command, output in pairs) == self.text
        return [Example(command, output) for command, output in pairs]

    def commands(self) -> list[str]:
        """Return the commands of a ``sh`` block, without comments. Lines that begin with spaces continue a command."""
        parts = re.split(r"\n(?! )", self.text)
        return [command for part in parts if (command := re.sub(r"(^|\s)# .*", "", part).strip())]


class Page:
    """One page.

    :ivar name: its path from the project's folder
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.text = path.read_text()

    @cached_property
    def blocks(self) -> list[Block]:
        return [Block(kind, mark, text) for kind, mark, text in FENCE.findall(self.text)]

    @cached_property
    def prose(self) -> str:
        """Return the text without code blocks."""
        return FENCE.sub("", self.text)

    def section(self, heading: str) -> str:
        """Return what is below a heading, up to the next one of its level or above."""
        level, rest = re.search(rf"^(#+) {re.escape(heading)}\n(.*)", self.text, re.MULTILINE | re.DOTALL).groups()
        return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]

    def table(self, heading: str, place: int = 0) -> list[list[str]]:
        """Return the rows of a table below a heading, each as its cells, without the row of titles."""
        tables = re.findall(r"(?:^\|.*\n)+", self.section(heading), re.MULTILINE)
        return rows_of(tables[place])

    def tables(self) -> Iterator[list[list[str]]]:
        """Yield the rows of each table of the page."""
        return (rows_of(table) for table in re.findall(r"(?:^\|.*\n)+", self.prose, re.MULTILINE))

    @cached_property
    def anchors(self) -> set[str]:
        """Return the anchors that GitHub makes from the headings."""
        return {anchor_of(heading) for heading in re.findall(r"^#+ (.*)$", self.prose, re.MULTILINE)}

    @cached_property
    def links(self) -> list[str]:
        """Return the targets of links to other pages, files and headings."""
        return [
            target
            for target in re.findall(r"\]\(([^)\s]+)\)", self.prose)
            if not target.startswith(("http:", "https:"))
        ]

    @cached_property
    def words(self) -> list[str]:
        """Return what is set as code in the text."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    def commands(self) -> list[str]:
        """Return the commands of all ``sh`` blocks."""
        return [command for block in self.blocks if block.kind == "sh" for command in block.commands()]


def rows_of(table: str) -> list[list[str]]:
    lines = table.splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in lines]


def anchor_of(heading: str) -> str:
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


class Terminal:
    """A shell that keeps its variables from command to command."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, command: str) -> tuple[int, str]:
        """Run a command; return its exit status, and what it printed to stdout."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{command}\nprintf '\\n%s%s\\n' '{END}' $?\n")
        self._process.stdin.flush()
        lines = []
        for line in self._process.stdout:
            if line.startswith(END):
                return int(line.removeprefix(END)), "".join(lines)[:-1]
            lines.append(line)
        raise AssertionError(f"the shell ended: {command}")


@contextmanager
def terminal() -> Iterator[Terminal]:
    process = subprocess.Popen(
        ["bash"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield Terminal(process)
    finally:
        process.kill()
        process.communicate()
