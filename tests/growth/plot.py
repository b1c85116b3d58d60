"""Draws what `tests/run growth` prints, as an SVG.

    tests/run growth 20000 | tee target/growth.txt
    python3 tests/growth/plot.py target/growth.txt docs/growth.svg
"""

import math
import sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 170, 56, 44, 72
COLORS = {"with upkeep": "#1f77b4", "without": "#d62728", "rows": "#1f77b4"}

Points = list[tuple[float, float]]


def tables(text: str) -> dict[str, list[list[str]]]:
    """The rows of each table, by the line above it."""
    found: dict[str, list[list[str]]] = {}
    title = ""
    for line in text.splitlines():
        if line.startswith("|"):
            found.setdefault(title, []).append([cell.strip() for cell in line.strip("|").split("|")])
        elif line.strip():
            title = line.strip().split(",")[0]
    return {title: rows[2:] for title, rows in found.items()}


def column(rows: list[list[str]], x: int, y: int) -> Points:
    return [(float(row[x]), float(row[y])) for row in rows]


def ticks(low: float, high: float, is_log: bool) -> list[float]:
    if is_log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [10.0**power for power in powers if low <= 10.0**power <= high]
    step = 10 ** math.floor(math.log10(high))
    step = next(part for part in (step / 5, step / 2, step, 2 * step) if high / part <= 6)
    return [step * n for n in range(math.ceil(high / step) + 1)]


def label(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


def panel(at: int, title: str, below: str, lines: dict[str, Points], log_y: bool) -> str:
    """One chart; x is logarithmic."""
    points = [point for line in lines.values() for point in line]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low_x, high_x = min(xs), max(xs)
    marks_y = ticks(min(ys), max(ys), log_y)
    low_y = min([*ys, *marks_y]) if log_y else 0.0
    high_y = max([*ys, *marks_y])

    def place_x(x: float) -> float:
        return at + WIDTH * math.log(x / low_x) / math.log(high_x / low_x)

    def place_y(y: float) -> float:
        share = math.log(y / low_y) / math.log(high_y / low_y) if log_y else y / high_y
        return TOP + HEIGHT * (1 - share)

    out = [f'<text x="{at}" y="{TOP - 18}" font-weight="bold">{title}</text>']
    for mark in marks_y:
        y = place_y(mark)
        out.append(f'<line x1="{at}" y1="{y:.1f}" x2="{at + WIDTH}" y2="{y:.1f}" stroke="#8884"/>')
        out.append(f'<text x="{at - 6}" y="{y + 4:.1f}" text-anchor="end">{label(mark)}</text>')
    marks_x = ticks(low_x, high_x, True) if high_x / low_x > 100 else sorted(set(xs))
    for mark in marks_x:
        x = place_x(mark)
        out.append(f'<text x="{x:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{label(mark)}</text>')
    out.append(f'<text x="{at + WIDTH / 2}" y="{TOP + HEIGHT + 36}" text-anchor="middle">{below}</text>')
    for name, line in lines.items():
        color = COLORS[name]
        path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        x, y = line[-1]
        if len(lines) > 1:
            out.append(
                f'<text x="{place_x(x) - 4:.1f}" y="{place_y(y) - 7:.1f}" text-anchor="end"'
                f' fill="{color}">{name}</text>'
            )
    return "\n".join(out)


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    found = tables(source.read_text())
    upkeep, alone, writers = found["commits"], found["commits-alone"], found["writers"]
    both = lambda y: {"with upkeep": column(upkeep, 0, y), "without": column(alone, 0, y)}  # noqa: E731
    panels = [
        ("all metadata of a table, MB", "commits, one a minute", both(4), True),
        ("CPU of a commit, ms", "commits, one a minute", both(1), False),
        ("rows a second into one table", "writers, 20 ms a request", {"rows": column(writers, 0, 1)}, False),
    ]
    whole = LEFT + len(panels) * (WIDTH + GAP)
    drawn = [panel(LEFT + nth * (WIDTH + GAP), *it) for nth, it in enumerate(panels)]
    target.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole - GAP + 24} {TOP + HEIGHT + 48}"'
        ' font-family="sans-serif" font-size="12" fill="#666">\n' + "\n".join(drawn) + "\n</svg>\n"
    )


if __name__ == "__main__":
    main()
