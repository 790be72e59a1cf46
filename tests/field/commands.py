"""Commands as users give them, with their answers as JSON; and tables as files."""

import json
from pathlib import Path

from typer.testing import CliRunner

from expunge.cli import app


def run(*arguments: object, code: int = 0):
    """What a command answers, which ends with ``code``."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if result.stdout.strip() else {}


def problems(folder: Path, depth: str = "everything") -> dict[str, str]:
    """What the doctor finds."""
    found = CliRunner().invoke(app, ["doctor", "--depth", depth, "-w", str(folder), "--json"])
    return {finding["check"]: finding["problem"] for finding in json.loads(found.stdout) if finding["problem"]}
