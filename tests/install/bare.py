"""An environment with a built wheel and what its metadata ask for, and nothing else: as after pip install, without a network.

The packages are those of the environment that the tests run in, linked, not copied.
"""

import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

SITE = Path(sysconfig.get_paths()["purelib"])


def closure(requirements: Iterable[str]) -> dict[str, Distribution]:
    """The installed distributions that these requirements need, by name; extras are followed."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        for extra in sorted(wanted.extras) or [""]:
            if (wanted.name, extra) in seen:
                continue
            seen.add((wanted.name, extra))
            here = found.setdefault(wanted.name, distribution(wanted.name))
            for text in here.requires or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    return found


def size(distributions: Iterable[Distribution]) -> int:
    """Bytes that they take on disk."""
    paths = (Path(str(file.locate())) for one in distributions for file in one.files or ())
    return sum(path.stat().st_size for path in paths if path.is_file())


class Bare:
    """The environment in ``folder``, with ``wheel`` and an ``extra`` of it."""

    def __init__(self, folder: Path, wheel: Path, requirements: Iterable[str]) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.bin = folder / "bin"
        (site,) = folder.glob("lib/python*/site-packages")
        for one in closure(requirements).values():
            for name in {file.parts[0] for file in one.files or () if file.parts[0] not in ("..", "__pycache__")}:
                _link(SITE / name, site / name)
        install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)]
        subprocess.run([sys.executable, "-m", "pip", "--python", str(self.bin / "python"), *install], check=True)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs one of its programs, away from the source tree."""
        program, *arguments = command
        asked, alone = [str(self.bin / program), *arguments], {"PATH": str(self.bin)}
        return subprocess.run(asked, cwd=self.bin, env=alone, text=True, capture_output=True, check=False)


def _link(source: Path, target: Path) -> None:
    """Links ``source``; a folder that several distributions share is made, and what is in it linked."""
    if not target.exists():
        target.symlink_to(source)
    elif source.is_dir() and target.resolve() != source:
        for part in source.iterdir():
            _link(part, target / part.name)
