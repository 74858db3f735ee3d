"""Print tables, and write results as JSON with the machine they were measured on, and a chart."""

import json
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("flask", "boto3", "zappa", "gunicorn", "gevent", "fastapi", "mangum", "uvicorn")

Goal = tuple[str, float, float, bool]  # label, figure, limit, whether the limit is a maximum


def table(rows: list[list[str]]) -> str:
    """Return rows as a text table. The first row is the heading; the first column is aligned to the left."""
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(widths[i]) if i == 0 else cell.rjust(widths[i]) for i, cell in enumerate(row)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


def goals(judged: list[Goal]) -> str:
    lines = []
    for what, figure, bar, at_most in judged:
        reached = figure <= bar if at_most else figure >= bar
        wanted = f"{'at most' if at_most else 'at least'} {bar:g}"
        lines.append(f"{'reached    ' if reached else 'NOT reached'}  {what}: {figure:.2f}, {wanted}")
    return "\n".join(lines)


def keep(name: str, results: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(machine() | results, indent=2, ensure_ascii=False) + "\n")


def machine() -> dict[str, Any]:
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ":")
    git = ["git", "describe", "--always", "--dirty"]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip(),
        "cpu": cpu.partition(":")[2].strip(),
        "cores": os.cpu_count(),
        "others_busy": round(busy(), 2),  # measured at the end; if it is high, the results are not reliable
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def busy(seconds: float = 0.4) -> float:
    """Return the share of this machine's CPU that is in use now."""

    def spent() -> tuple[int, int]:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        return sum(fields), fields[3] + fields[4]

    all_before, idle_before = spent()
    time.sleep(seconds)
    all_after, idle_after = spent()
    return 1 - (idle_after - idle_before) / (all_after - all_before)


def chart(path: Path, title: str, groups: dict[str, dict[str, float]], line_at: tuple[float, str]) -> None:
    """Return a chart as SVG: groups of horizontal bars, with a line across all of them.

    :param groups: heading → label → value
    :param line_at: the value of the line, and its label
    """
    longest = max(value for bars in groups.values() for value in bars.values())
    left, right, bar, gap = 250, 560, 18, 34
    scale = right / max(longest, line_at[0])
    height = 52 + sum(gap - 8 + bar * len(bars) for bars in groups.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right + 70}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    y = 40
    for heading, bars in groups.items():
        y += gap - bar
        parts.append(f'<text x="12" y="{y + 2}" font-weight="bold">{escape(heading)}</text>')
        y += bar - 8
        for label, value in bars.items():
            colour = "#2a6f97" if label.startswith("ours") else "#adb5bd"
            parts += [
                f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(label)}</text>',
                f'<rect x="{left}" y="{y}" width="{value * scale:.1f}" height="{bar - 4}" fill="{colour}"/>',
                f'<text x="{left + value * scale + 5:.1f}" y="{y + 12}">{value:.2f}</text>',
            ]
            y += bar
    x = left + line_at[0] * scale
    parts += [
        f'<line x1="{x:.1f}" y1="34" x2="{x:.1f}" y2="{height - 8}" stroke="#c1121f" stroke-dasharray="4 3"/>',
        f'<text x="{x + 4:.1f}" y="38" fill="#c1121f">{escape(line_at[1])}</text>',
        "</svg>",
    ]
    path.write_text("\n".join(parts) + "\n")
