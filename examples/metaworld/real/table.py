"""The trials of a run as a table: `table.py RUN/events.jsonl > real.csv`."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

COLUMNS = ("policy", "task", "scenario", "repeat", "outcome", "length")


def main() -> None:
    """Writes a row per trial, in the order of their names."""
    lines = Path(sys.argv[1]).read_text().splitlines()
    rows = sorted((tuple(trial[column] for column in COLUMNS) for trial in map(json.loads, lines)))
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(rows)


if __name__ == "__main__":
    main()
