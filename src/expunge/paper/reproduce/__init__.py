"""The paper's claims, regenerated: every figure and table on one page, from one command. Theory §2, §3."""

import time
from collections.abc import Callable
from pathlib import Path

from expunge.paper.reproduce import constants, measured
from expunge.paper.reproduce.page import Section

INTRODUCTION = """# The paper, reproduced

Every claim of *Remember What You Want to Forget* (Sekhari, Acharya, Kamath, Suresh, NeurIPS 2021) that this project rests on,
as figures and tables. The page and its figures are written by `expunge reproduce`; nothing on it is typed in by hand.
"""


def reproduce(folder: Path, data: Path, said: Callable[[str], None]) -> Path:
    """Writes ``index.md`` and its figures into ``folder``, and returns its path.

    Args:
        data: the folder of the data sets that do not ship with the package; absent ones are left out, and the page says so.
        said: told each section's title and the seconds it took.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: ``folder`` cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [INTRODUCTION]
    makers: list[Callable[[], Section]] = [
        constants.against_p,
        constants.against_epsilon_and_n,
        constants.convex_reduction,
        constants.samples,
        *measured.all_sections(data),
    ]
    for make in makers:
        started = time.perf_counter()
        section = make()
        parts.append(section.write(folder))
        said(f"{section.title} ({time.perf_counter() - started:.0f} s)")
    path = folder / "index.md"
    path.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")
    return path
