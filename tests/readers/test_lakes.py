"""Every lake that the tests wrote, as two other engines see it."""

import pytest
import verify


def test_there_are_lakes(pytestconfig):
    root = pytestconfig.getoption("lakes")
    assert verify.find(root), f"no lakes under {root}: run the tests that write them first"


def test_lake(home, duck, reports):
    report = verify.check(home, duck)
    reports[home] = report
    if report.problems:
        pytest.fail("\n".join(report.problems), pytrace=False)
