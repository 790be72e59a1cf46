"""Writing a benchmark's figures to benchmarks/results/NAME.json, with the machine they were measured on."""

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SHARED = Path(os.environ.get("EXPUNGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
"""Where the data sets lie that are not shipped; benchmarks say what they leave out when it is absent."""


def record(name: str, figures: dict[str, Any]) -> Path:
    """Writes ``figures`` and returns the path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    path.write_text(json.dumps({"when": time.strftime("%Y-%m-%d"), "machine": machine, **figures}, indent=2) + "\n")
    return path
