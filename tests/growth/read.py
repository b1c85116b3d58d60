"""Prints how long DuckDB takes to count the rows of tables that the program `growth` has made."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "readers"))

from readers import DuckDb  # noqa: E402

for lake in sys.argv[1:]:
    engine = DuckDb()
    began = time.monotonic()
    query = "SELECT count(n) FROM iceberg_scan(?)"
    rows = engine.connection.execute(query, [f"{lake}/web/clicks"]).fetchone()[0]
    print(f"{lake}: DuckDB counts {rows} rows in {time.monotonic() - began:.2f} s")
