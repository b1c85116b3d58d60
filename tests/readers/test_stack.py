"""The lakes that the tests with LocalStack have left in S3, as two other engines see them."""

import json
from pathlib import Path

import pytest
import verify
from places import place

_FOLDER = Path(__file__).resolve().parents[2] / "target" / "stack"
_EXPECTED = sorted(_FOLDER.glob("*.json"))


@pytest.fixture(scope="module")
def duck_on_s3(duck):
    duck.reach_s3()
    return duck


def test_there_are_lakes():
    assert _EXPECTED, f"no lakes told of in {_FOLDER}: tests/run stack"


@pytest.mark.parametrize("path", _EXPECTED, ids=lambda path: path.stem)
def test_lake_in_s3(path, duck_on_s3, reports):
    told = json.loads(path.read_text())
    report = verify.check_lake(place(told["lake"]), told["tables"], duck_on_s3)
    reports[place(told["lake"])] = report
    if report.problems:
        pytest.fail("\n".join(report.problems), pytrace=False)
