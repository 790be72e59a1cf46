"""How fast, beside what? Runs the benchmarks of fits, of forgetting and of the desk, and writes ``docs/performance.md``.

Nothing on the page is typed in by hand. All of it is measured in one run on one machine; peers take turns with what they are
compared with. Where others use the machine, one thread (OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1) is measured in processor
time. Needs ``pip install glum``. Run: python -m benchmarks.performance
"""

import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import compare, desk, fit_speed, forget_speed, glm, tracking
from benchmarks.clock import CLOCK, THREADS
from benchmarks.kernels import KERNELS
from benchmarks.record import SHARED, record
from expunge.paper.reproduce.page import Table
from expunge.paper.reproduce.studies import StudyName, load_study
from expunge.problem.losses import Logistic, Poisson

STUDIES: tuple[StudyName, ...] = ("flights", "census", "sentiment")
POLICIES = "policies, Poisson"
FITTED = (*STUDIES, POLICIES)
"""Data sets of the table of fits; those that are not at hand are left out."""
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
REPEATS = 2
PACKAGES = ("expunge", "numpy", "scipy", "scikit-learn", "glum", "tabmat", "opendp")

INTRODUCTION = """\
# How fast, beside what

Written by `python -m benchmarks.performance`.

Measured on {when}: {cores} cores ({processor}), Python {python}; {versions}; threads: {threads}. The floors:
{bandwidth:.1f} GB/s copied and {rate:.0f} GF/s multiplied. The load was {busy:.0f} when this began, and it took
{minutes:.0f} minutes: with a load above the number of cores others used the machine too, and only what stands in one
table, measured in turns, can be compared. Fits, ways of forgetting and floors are in {clock}.{left_out}"""

FITTING = """\
## Fitting

{table}

Seconds, the least of {repeats}, and in brackets the norm of the gradient that is reached. glum gets its best
representation (tabmat's blocks), and is asked for its default tolerance and for {tight:g}; beside each is ours from blocks,
stopped as soon as its gradient is no larger. newton-cholesky runs at the loosest tolerance whose gradient is no larger than
ours, or at its tightest. The other columns are whole fits, to the optimum and with all that forgetting needs; ours gets the
same rows dense and as CSR, and puts them into blocks where that is less work. `python -m benchmarks.glm` and
`python -m benchmarks.fit_speed` measure this alone."""

METHODS = """\
## Ways of forgetting

Census, {n:,} rows, p = {p}, logistic regression, C = 1, noise worth at most 0.001 of log-loss where a method adds any:

{table}

All methods minimise the same objective. `python -m benchmarks.compare` has the same of other data sets."""

FLOOR = """\
## Against the floor

Forgetting one row must read and write at least the Hessian and its inverse, and at order 3 the tensor too:

{table}

Forgetting with one pass over the remaining rows takes {passes:.2f} times one evaluation of their gradient."""

TRACKING = """\
## Tracking

Logistic regression on a million rows of 100 columns, in seconds of processor time. The models of a workspace are
tracked, those of the library with `track_rows` or `subjects`.

{table}"""

DESK = """\
## The desk, imports and commands

The census sample: 32,561 people, a logistic model of third order and a ridge. First seconds over HTTP; then of a
process from its start, the least of {repeats}, and processor time beside it:

{table}

scikit-learn is loaded by the first fit or export, OpenDP's sampler with the first noise; `tests/test_imports.py` holds
what is loaded when."""

LAST = """\
## Where plain retraining is the better choice

A warm refit is exact, needs no noise and no certificate. If the data is at hand, retrain

- when requests come less often than a warm refit takes (see *Ways of forgetting*) and each may wait that long, or
- for any request beyond the capacity of the last pass.

Expunge pays where the data is far away or large, where requests come by the thousand, where an answer is due within
milliseconds, or where a third party asks for evidence. `model.capacity()` says which of three regimes a fitted model is
in: the noise alone hides as many people as the statistics certify; forgetting is worth it; or retrain instead.

## How speed is kept

Seconds depend on who else uses the machine, instructions do not. `make bench-guard` counts those of {kernels} kernels
under valgrind, and fails where one takes a tenth more than at the last release, whose counts are in
`benchmarks/instructions.json`."""

FITS = (
    ("ours, dense", "dense, s", "gradient norm"),
    ("CSR", "CSR, s", ""),
    ("blocks", "blocks, s", ""),
    ("CSR, order 3", "order 3, s", ""),
    ("glum", "glum, s", "glum's"),
    ("ours, as far as it", "as far as glum, s", "as far as glum's"),
    ("glum, tight", "glum tight, s", "glum's, tight"),
    ("ours, as far as that", "as far as glum tight, s", "as far as glum's, tight"),
    ("newton-cholesky", "newton-cholesky, s", "newton-cholesky's"),
)
"""Columns of the table of fits: their headings, and under which names seconds and gradient are."""


def fits() -> dict[str, dict[str, float]]:
    """By data set, seconds and gradients of ours, glum and newton-cholesky."""
    found: dict[str, dict[str, float]] = {}
    for name in STUDIES:
        study = load_study(name, SHARED)
        if study is None:
            continue
        found[name] = fit_speed.compare(name, REPEATS) or {}
        if name != "sentiment":  # dense rows, for which glum has nothing special
            X, y = np.vstack([study.X, study.X_test]), np.concatenate([study.y, study.y_test])
            found[name] |= _beside_glum(glm.compare(X, y, Logistic(), None, REPEATS))
    X, codes, y = glm.policies()
    found[POLICIES] = _beside_glum(glm.compare(X, y, Poisson(), codes, REPEATS))
    return found


def _beside_glum(given: Mapping[str, float]) -> dict[str, float]:
    """Figures of ``glm.compare`` under the names of this page; ours, too, are those of the turns with glum."""
    tight = f"glum, {glm.TIGHT:g}"
    names = {
        "dense": "dense, s",
        "csr": "CSR, s",
        "blocks": "blocks, s",
        "csr, order 3": "order 3, s",
        "our gradient": "gradient norm",
        "glum": "glum, s",
        "gradient of glum": "glum's",
        "as glum": "as far as glum, s",
        "gradient as glum": "as far as glum's",
        tight: "glum tight, s",
        f"gradient of {tight}": "glum's, tight",
        f"as {tight}": "as far as glum tight, s",
        f"gradient as {tight}": "as far as glum's, tight",
        "rows": "rows",
        "features": "features",
    }
    ratios = {"as far / glum": given["as glum"] / given["glum"], "as far / glum, tight": given[f"as {tight}"] / given[tight]}
    ratios["order 3 / order 2"] = given["csr, order 3"] / given["csr"]
    return {new: given[old] for old, new in names.items()} | ratios


def fit_table(found: Mapping[str, Mapping[str, float]]) -> Table:
    """A line a data set."""
    ratios = ("as far / glum", "as far / glum, tight", "dense / newton-cholesky", "order 3 / order 2")
    rows = []
    for name, given in found.items():
        cells = []
        for _heading, seconds, gradient in FITS:
            reached = f" ({given[gradient]:.0e})" if gradient in given else ""
            cells.append(f"{given[seconds]:.2f}{reached}" if seconds in given else "–")
        own = [f"**{given[ratio]:.2f}**" if ratio in given else "–" for ratio in ratios]
        rows.append([f"{name}, {given['rows']:,.0f} × {given['features']:.0f}", *cells, *own])
    return Table(["", *(heading for heading, _seconds, _gradient in FITS), *ratios], rows)


def method_table(lines: list[compare.Line]) -> Table:
    """A line a method."""
    columns = [
        "",
        "fit, s",
        "forget 1, ms",
        "forget 100, ms",
        "reads the data?",
        "MB kept",
        "distance after 100",
        "certified ε",
        "log-loss",
    ]
    rows = []
    for line in lines:
        figures = [f"{line.fit:.2f}", f"{line.forget[0] * 1e3:.3g}", f"{line.forget[2] * 1e3:.3g}", line.needs_data]
        epsilon = "none" if np.isinf(line.epsilon) else f"{line.epsilon:.2g}"
        rest = [f"{line.bytes_kept / 1e6:.1f}", f"{line.distance:.1e}", epsilon, f"{line.log_loss:.4f}"]
        if line.needs_data:
            rows.append([line.name, *figures, *rest])
        else:  # one that cannot do it says why in its name
            rows.append([line.name, *["–"] * 8])
    return Table(columns, rows)


def floor_table(second: Mapping[str, float], third: Mapping[str, float]) -> Table:
    """A line a size."""
    rows = [
        [
            f"order 2, p = {p:,}",
            f"{second[f'forget at p = {p}, ms']:.2f}",
            f"{second[f'forget at p = {p}, × memory floor']:.1f}",
        ]
        for p in (500, 1000, 2000)
    ]
    for name, seconds in third.items():
        if (copying := third.get(f"{name}: copying what it must change")) is not None:
            size, order, noise = name.split(", ")
            rows.append([f"{order}, {size}, {noise} noise", f"{seconds * 1e3:.2f}", f"{seconds / copying:.1f}"])
    return Table(["one row", "ms", "× copying what it must change"], rows)


def tracking_table(found: Mapping[str, tuple[float, float]]) -> Table:
    """A line a step."""
    rows = [[name, f"{plain:,.1f}" if plain else "", f"{tracked:,.1f}"] for name, (plain, tracked) in found.items()]
    return Table(["", "without", "tracked"], rows)


def desk_table(found: Mapping[str, float]) -> Table:
    """A line a step; for processes processor time beside it."""
    rows = []
    for name, value in found.items():
        if not name.endswith("processor s"):
            used = found.get(name.removesuffix("s") + "processor s")
            rows.append([name.removesuffix(", s"), f"{value:.2f}", "" if used is None else f"{used:.2f}"])
    return Table(["", "s", "processor s"], rows)


def page(figures: Mapping[str, Any]) -> str:
    """The page, of what ``measure`` found."""
    second = figures["floor"]
    absent = [name for name in FITTED if name not in figures["fits"]]
    parts = [
        INTRODUCTION.format(
            bandwidth=second["bandwidth, GB/s"],
            rate=second["BLAS, GF/s"],
            left_out=f" Fits that were left out: {', '.join(absent)}." if absent else "",
            **figures["machine"],
        ),
        FITTING.format(table=fit_table(figures["fits"]).markdown(), tight=glm.TIGHT, repeats=REPEATS),
        METHODS.format(table=method_table(figures["methods"]).markdown(), **figures["census"]),
        FLOOR.format(table=floor_table(second, figures["third order"]).markdown(), passes=figures["pass"]),
        TRACKING.format(table=tracking_table(figures["tracking"]).markdown()),
        DESK.format(table=desk_table(figures["desk"]).markdown(), repeats=desk.REPEATS),
        LAST.format(kernels=len(KERNELS)),
    ]
    return "\n\n".join(parts) + "\n"


def measure(console: Console) -> dict[str, Any]:
    """All figures of the page."""
    began, busy, census = time.perf_counter(), os.getloadavg()[0], load_study("census", SHARED)
    assert census is not None  # it is in the package
    steps: dict[str, Callable[[], Any]] = {
        "floor": lambda: compare.floor(console),
        "fits": fits,
        "third order": lambda: forget_speed.third_order(console),
        "pass": lambda: compare.pass_over_gradient(console),
        "methods": compare.Comparison(census).lines,
        "tracking": tracking.measured,
        "desk": desk.measured,
    }
    figures: dict[str, Any] = {"census": {"n": len(census.y), "p": census.X.shape[1] + 1}}
    for name, step in steps.items():
        started = time.perf_counter()
        figures[name] = step()
        console.print(f"{name}: measured in {time.perf_counter() - started:.0f} s", highlight=False)
    figures["machine"] = {
        "when": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "threads": ", ".join(f"{name}={value}" for name, value in THREADS.items()),
        "clock": CLOCK,
        "busy": busy,
        "minutes": (time.perf_counter() - began) / 60,
    }
    return figures


def main() -> None:
    """Measures, keeps the figures and writes the page."""
    console = Console()
    figures = measure(console)
    PAGE.write_text(page(figures), encoding="utf-8")
    kept = {**figures, "methods": [vars(line) for line in figures["methods"]]}
    console.print(f"written to {PAGE} and {record('performance', kept)}")


if __name__ == "__main__":
    main()
