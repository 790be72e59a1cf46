"""The documentation's site, built once for all workers of a test run."""

import fcntl
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SITE = ROOT / ".site"


def build(notes: Path) -> str:
    """Builds the site into ``SITE``, unless ``notes`` holds what the builder said to another worker; what it said."""
    said = notes / "site.txt"
    with open(notes / "site.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
            built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert built.returncode == 0, built.stdout + built.stderr
            said.write_text(built.stdout + built.stderr)
        return said.read_text()
