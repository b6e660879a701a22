"""How often planners succeed, as JSON: `planner.py RUN PLANNER.toml REAL.csv > planner.json`.

RUN holds what `planner.sh` recorded: `episodes`, and a plan for each task, `plan-TASK.json`.
"""

from __future__ import annotations

import argparse
import csv
import json
import tomllib
from collections import defaultdict
from pathlib import Path
from statistics import mean, median


def rates(table: Path, success: str, yes: set[str]) -> dict[str, dict[str, list[int]]]:
    """Successes, 0 or 1, by task and policy."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    with table.open() as file:
        for row in csv.DictReader(file):
            found[row["task"]][row["policy"]].append(int(row[success] in yes))
    return found


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("planner", type=Path)
    parser.add_argument("real", type=Path)
    parser.add_argument("--first-start", type=int, default=0)
    options = parser.parse_args()
    planner = tomllib.loads(options.planner.read_text())
    planned = rates(options.run / "episodes/meta/trials.csv", "success", {"1", "1.0"})
    cloned = rates(options.real, "outcome", {"success"})
    tasks = []
    for task, policies in planned.items():
        plan = json.loads((options.run / f"plan-{task}.json").read_text())
        tasks.append(
            {
                "task": task,
                "trials": len(policies["planner"]),
                "cem": mean(policies["planner"]),
                "random_shooting": mean(policies["planner-random"]),
                "cloned_median": median(mean(trials) for trials in cloned[task].values()),
                "seconds_per_action": plan["secs"] / planner["execute"],
            }
        )
    report = {
        "format": 1,
        "command": "examples/metaworld/real/planner.sh",
        "checkpoint": plan["checkpoint"],
        "first_start": options.first_start,
        "planner": planner,
        "tasks": tasks,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
