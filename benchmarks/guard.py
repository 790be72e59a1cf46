"""Has a kernel become slower since the last release? Instructions are counted, not seconds: whoever else uses the machine
changes nothing.

``make bench-guard`` runs ``benchmarks.kernels`` under callgrind (valgrind must be installed), with one BLAS thread, OpenBLAS's
kernels for one type of processor and fixed hashes. It compares with ``benchmarks/instructions.json``, and fails where a kernel
takes more than a tenth more. ``python -m benchmarks.guard --store`` writes that file: for a release.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from benchmarks.kernels import KERNELS, TOGGLE

STORED = Path(__file__).with_name("instructions.json")
ALLOWED = 1.1
"""Instructions of a kernel over those stored, from which on the guard fails."""
CORE = "Haswell"
"""The processor type of which OpenBLAS's kernels are counted: every x86 processor with AVX2 runs them."""
FIXED = {
    "OPENBLAS_NUM_THREADS": "1",
    "OPENBLAS_CORETYPE": CORE,
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def counted(names: Sequence[str] = tuple(KERNELS), program: Sequence[str] = ("-m", "benchmarks.kernels")) -> dict[str, int]:
    """Instructions of the kernels of these names.

    Args:
        names: of kernels.
        program: arguments of Python that run these kernels, given their names.

    Raises:
        SystemExit: valgrind is not installed, or the kernels did not run.
    """
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed: apt-get install valgrind")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        toggles = [f"--{what}={TOGGLE}" for what in ("toggle-collect", "dump-after")]
        command = ["valgrind", "--tool=callgrind", "--collect-atstart=no", *toggles, f"--callgrind-out-file={out}"]
        done = subprocess.run(
            [*command, sys.executable, *program, *names], env={**os.environ, **FIXED}, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"the kernels did not run:\n{done.stderr[-2000:]}")
        parts = [Path(f"{out}.{number}") for number in range(1, len(names) + 1)]
        if missing := [name for name, part in zip(names, parts, strict=True) if not part.exists()]:
            raise SystemExit(f"callgrind counted nothing of {missing[0]!r}: this Python has no function {TOGGLE}")
        return {name: instructions(part.read_text()) for name, part in zip(names, parts, strict=True)}


def instructions(profile: str) -> int:
    """The total in a profile of callgrind."""
    found = re.search(r"^(?:summary|totals): (\d+)$", profile, re.MULTILINE)
    if found is None:
        raise SystemExit("callgrind wrote a profile without a total")
    return int(found[1])


def slower(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, float]:
    """By kernel that takes more than ``ALLOWED`` times its instructions of ``before``, how many times.

    Raises:
        SystemExit: a kernel was never counted, or is counted no more.
    """
    if different := set(before) ^ set(now):
        raise SystemExit(f"the kernel {sorted(different)[0]!r} is in one of both only: python -m benchmarks.guard --store")
    return {name: now[name] / before[name] for name in now if now[name] > ALLOWED * before[name]}


def measured_with() -> dict[str, str]:
    """What the counts depend on besides the code."""
    blas = sorted({f"{each['internal_api']} {each['version']}" for each in threadpool_info() if each["user_api"] == "blas"})
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    packages = {name: version(name) for name in ("numpy", "scipy", "pyarrow", "opendp", "cryptography")}
    return {
        "python": platform.python_version(),
        **packages,
        "blas": f"{', '.join(blas)}, kernels of {CORE}",
        "machine": platform.machine(),
        "valgrind": valgrind,
    }


def main() -> None:
    """Counts, prints, and compares or stores."""
    parser = argparse.ArgumentParser(description="Count the instructions of kernels, and compare with the last release.")
    parser.add_argument("--store", action="store_true", help="write what is counted to benchmarks/instructions.json")
    store = parser.parse_args().store
    now, with_ = counted(), measured_with()
    if store:
        content: dict[str, Any] = {"release": version("expunge"), "measured with": with_, "instructions": now}
        STORED.write_text(json.dumps(content, indent=2) + "\n")
        print(f"written to {STORED}")
        return
    stored = json.loads(STORED.read_text())
    before = stored["instructions"]
    for name, value in stored["measured with"].items():
        if with_[name] != value:
            print(f"note: {name} is {with_[name]}, and was {value} for the stored counts")
    found = slower(before, now)
    for name, count in now.items():
        print(f"{name:<40} {count:>15,} {count / before[name]:>8.3f}{'  SLOWER' if name in found else ''}")
    if found:
        raise SystemExit(
            f"{len(found)} of {len(now)} kernels take more than a tenth more instructions than in {stored['release']}"
        )


if __name__ == "__main__":
    main()
