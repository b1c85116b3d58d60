"""Where the lakes are, and what is said about them at the end."""

from pathlib import Path

import pytest
import verify
from readers import DuckDb

_LAKES = Path(__file__).resolve().parents[2] / "target" / "lakes"
_REPORTS = pytest.StashKey[dict]()


def pytest_addoption(parser):
    parser.addoption("--lakes", type=Path, default=_LAKES, help="folder of the lakes to read")


def pytest_configure(config):
    config.stash[_REPORTS] = {}


def pytest_generate_tests(metafunc):
    if "home" in metafunc.fixturenames:
        root = metafunc.config.getoption("lakes")
        homes = verify.find(root)
        metafunc.parametrize("home", homes, ids=[str(home.relative_to(root)) for home in homes])


@pytest.fixture(scope="session")
def duck():
    return DuckDb()


@pytest.fixture
def reports(request):
    return request.config.stash[_REPORTS]


def pytest_terminal_summary(terminalreporter, config):
    reports = config.stash[_REPORTS]
    if not reports:
        return
    root = config.getoption("lakes")
    terminalreporter.section("lakes read by DuckDB and PyIceberg")
    for home, report in sorted(reports.items(), key=str):
        mark = "FAILED" if report.problems else "ok"
        name = home.relative_to(root) if isinstance(home, Path) else home
        terminalreporter.line(f"{mark:6} {name}: {report.line()}")
    tables = sum(len(report.tables) for report in reports.values())
    rows = sum(sum(report.tables.values()) for report in reports.values())
    terminalreporter.line(f"{len(reports)} lakes, {tables} tables, {rows} rows")
