"""Success rates of policies in the real world and in simulation, as published.

    python calibration/tools/gen_golden.py FOLDER > calibration/tests/fixtures/golden.json

FOLDER holds one JSON file per publication, with `title`, `source` and `panels`; kept here are the
panels with rates of at least three policies, without duplicates.
"""

import json
import sys
from pathlib import Path

panels = []
for path in sorted(Path(sys.argv[1]).glob("*.json")):
    document = json.loads(path.read_text())
    for panel in document.get("panels", []):
        real, sim = panel.get("real_success"), panel.get("sim_success")
        pearson = (panel.get("recomputed") or {}).get("pearson")
        if not real or not sim or pearson is None or len(real) < 3:
            continue
        if any(v is None or not 0 <= v <= 1 for v in real + sim):
            continue
        if any(p["real"] == real and p["imagined"] == sim for p in panels):
            continue
        panels.append({"source": document["title"], "panel": panel["name"],
                       "pearson": pearson, "real": real, "imagined": sim})
print(json.dumps({"generator": "calibration/tools/gen_golden.py", "panels": panels}))
