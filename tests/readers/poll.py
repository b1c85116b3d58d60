"""Reads a lake again and again while others write to it, until its input ends: poll.py LAKE

Every table must be readable at any moment, each record in it once, and none may go. It prints the
number of polls and what was wrong, as JSON.

DuckDB asks S3 twice for a file, for its size and for its bytes, and refuses one that was replaced in
between, as a hint is by each commit. It says so, and asking again is what its message advises.
"""

import json
import sys
import threading

from places import place
from readers import DuckDb

_SCAN = "SELECT count(*), count(DISTINCT (_lw_source, _lw_id)) FROM iceberg_scan(?)"


def main(location: str):
    lake, duck = place(location), DuckDb()
    if location.startswith("s3:"):
        duck.reach_s3()
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    polls, again, problems, before = 0, 0, [], {}
    while not ended.is_set():
        polls += 1
        for table in _tables(lake):
            try:
                rows, ids = duck.connection.execute(_SCAN, [str(table)]).fetchone()
            except Exception as error:
                if "ETag on reading file" in str(error) and "version-hint.text" in str(error):
                    again += 1
                else:
                    problems.append(f"{table}: {error}")
                continue
            if rows != ids:
                problems.append(f"{table}: {rows} rows of {ids} records")
            if rows < before.get(str(table), 0):
                problems.append(f"{table}: {rows} rows after {before[str(table)]}")
            before[str(table)] = rows
        ended.wait(0.05)
    print(json.dumps({"polls": polls, "again": again, "problems": problems[:20]}))


def _tables(lake):
    """Folders of tables that have a hint, which engines follow."""
    folders = (table for namespace in _folders(lake) for table in _folders(namespace))
    return [it for it in folders if (it / "metadata" / "version-hint.text").is_file()]


def _folders(folder):
    try:
        return sorted(folder.iterdir(), key=str)
    except (FileNotFoundError, NotADirectoryError):
        return []


if __name__ == "__main__":
    main(sys.argv[1])
