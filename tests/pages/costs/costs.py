#!/usr/bin/env python3
"""What Lakeward costs, as the Markdown tables of a page, from the prices in prices.toml.

    python3 tests/pages/costs/costs.py                             prints them
    python3 tests/pages/costs/costs.py --all                       with what no release does yet
    python3 tests/pages/costs/costs.py --write docs/OPERATING.md   puts them between its marks
    python3 tests/pages/costs/costs.py --check docs/OPERATING.md   fails where the page differs

Python 3.11 or later is all it needs.
"""

import argparse
import sys
import tomllib
from pathlib import Path

BEGIN, END = "<!-- costs: tests/pages/costs/costs.py -->\n", "<!-- end of costs -->\n"
MONTH = 30 * 24 * 3600
# The commits that one table takes; the invocations beyond leave their rows to them.
COMMITS_A_SECOND = 2


def per_invocation(way: dict, mb: float, facts: dict) -> float:
    """Dollars of one invocation that lands `mb` megabytes in one table."""
    prices = facts["prices"]
    seconds = way["seconds"] + way["seconds_per_mb"] * mb
    return (
        requests(way, prices)
        + seconds * facts["function"]["memory_gb"] * prices["lambda_gb_second"]
        + prices["lambda_request"]
    )


def requests(way: dict, prices: dict) -> float:
    """Dollars of the requests of one invocation."""
    names = {"put": "s3_put", "get": "s3_get", "sqs": "sqs", "glue": "glue"}
    return sum(way.get(kind, 0) * prices[price] for kind, price in names.items())


def break_even(way: dict, facts: dict) -> float:
    """Megabytes in an invocation from which on Firehose costs more."""
    fixed = per_invocation(way, 0, facts)
    each = per_invocation(way, 1, facts) - fixed
    return fixed / (facts["prices"]["firehose_gb"] / 1000 - each)


def table(header: list[str], marks: str, rows: list[list[str]]) -> str:
    """`marks` has a letter for each column: l for left, r for right."""
    marked = [{"l": "---", "r": "---:"}[mark] for mark in marks]
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, marked, *rows])


def dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount < 100 else f"${amount:,.0f}"


def render(facts: dict, with_all: bool = False) -> str:
    prices, memory = facts["prices"], facts["function"]["memory_gb"]
    ways = [way for way in facts["way"] if with_all or way["released"]]
    rows = []
    for way in ways:
        asked = [f"{way[kind]} {text}" for kind, text in _ASKED.items() if kind in way]
        million = per_invocation(way, 0, facts) * 1e6
        cells = [", ".join(asked), f"{way['seconds']} s", f"${million:.1f}"]
        rows.append([way["name"], *cells, f"{break_even(way, facts) * 1000:.0f} KB"])
    head = ["commit", "requests", "time", "a million", "cheaper than Firehose from"]
    out = f"The cost of a small invocation with {memory * 1024:.0f} MB of memory, and the batch size above"
    out += " which Lakeward\ncosts less than Firehose for the same bytes:\n\n"
    out += table(head, "llrrr", rows) + "\n"

    kept_up = facts["upkeep"]
    call = requests(kept_up, prices) + prices["lambda_request"]
    call += kept_up["seconds"] * memory * prices["lambda_gb_second"]
    upkeep = call * kept_up["calls_a_month"]
    (direct, left), rows = ways[:2], []
    for load in facts["load"]:
        count = load["per_second"] * MONTH
        firehose = load["mb"] * count / 1000 * prices["firehose_gb"]
        rate = load["per_second"]
        share = min(1, COMMITS_A_SECOND / rate)
        each = share * per_invocation(direct, load["mb"], facts)
        each += (1 - share) * per_invocation(left, load["mb"], facts)
        cost = dollars(each * count + upkeep)
        often = f"{rate:.3g} a second" if rate >= 1 else f"every {1 / rate:.0f} s"
        rows.append([load["name"], often, f"{rate * share * 86400:,.0f}", cost, dollars(firehose)])
    head = ["a month of one table", "invocations", "commits a day", "Lakeward", "Firehose"]
    out += table(head, "lrrrr", rows) + "\n"

    of_table = dollars(kept_up["metrics"] * prices["metric_month"])
    out += f"Upkeep is included: {dollars(upkeep)} a month for a table with a commit a minute. The metrics of each"
    out += f" table cost {of_table}.\n"

    said = facts["log"]
    of_route = said["metrics"] * prices["metric_month"]
    of_function = said["metrics_of_function"] * prices["metric_month"]
    of_function += said["alarms"] * prices["alarm_month"]
    log = said["kb"] * prices["log_gb"]
    out += f"Not included: {dollars(of_route)} a month for the metrics of each route, {dollars(of_function)} for totals"
    out += f" and alarms,\n${log:.2f} for the log of a million invocations, the sources' own prices, and storage."
    return out + f"\nThese are list prices of {facts['region']}, {facts['read']}.\n"


_ASKED = {"put": "PUT", "get": "GET", "sqs": "SQS", "glue": "Glue"}


def parts(page: str) -> tuple[str, str, str]:
    """What is before the tables, the tables, and what is after."""
    before, found, rest = page.partition(BEGIN)
    text, ended, after = rest.partition(END)
    if not found or not ended:
        sys.exit(f"costs: the page lacks the lines {BEGIN.strip()} and {END.strip()}")
    return before + BEGIN, text, END + after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="with what no release does yet")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into a page")
    parser.add_argument("--check", type=Path, metavar="PAGE", help="fail where a page differs")
    options = parser.parse_args()
    facts = tomllib.loads((Path(__file__).parent / "prices.toml").read_text())
    text = render(facts, options.all)
    if page := options.write:
        before, _, after = parts(page.read_text())
        page.write_text(before + text + after)
    elif page := options.check:
        if parts(page.read_text())[1] != text:
            sys.exit(f"costs: {page} does not match tests/pages/costs/prices.toml; run"
                     f" python3 tests/pages/costs/costs.py --write {page}")
        print(f"{page} matches the prices")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
