"""The page of performance: written by its command, from figures alone."""

import numpy as np
import pytest

from benchmarks import performance
from benchmarks.compare import Line

GLUM = {
    "dense": 2.0,
    "csr": 0.5,
    "csr, order 3": 0.6,
    "blocks": 0.45,
    "as glum": 0.3,
    "gradient as glum": 1e-6,
    "as glum, 1e-10": 0.4,
    "gradient as glum, 1e-10": 3e-11,
    "our gradient": 3e-11,
    "glum": 1.0,
    "gradient of glum": 2e-6,
    "glum, 1e-10": 5.0,
    "gradient of glum, 1e-10": 4e-11,
    "rows": 1000,
    "features": 20,
}
DENSE = {"rows": 500.0, "features": 30.0, "gradient norm": 1e-12, "newton-cholesky's": 2e-12, "dense, s": 0.25}
DENSE |= {"newton-cholesky, s": 1.0, "dense / newton-cholesky": 0.25}


HEADINGS = {"ours, dense", "fit, s", "ms", "without", "s"}
"""Second headings of the tables."""


def cells(table):
    """By first cell, the others by heading."""
    return {row[0]: dict(zip(table.columns[1:], row[1:], strict=True)) for row in table.rows}


def test_fits_have_their_ratios_and_say_what_was_not_measured():
    found = {"policies": performance._beside_glum(GLUM), "sentences": DENSE}
    lines = cells(performance.fit_table(found))
    policies, sentences = lines["policies, 1,000 × 20"], lines["sentences, 500 × 30"]
    assert policies["as far / glum"] == "**0.30**" and policies["as far / glum, tight"] == "**0.08**"
    assert policies["ours, as far as it"] == "0.30 (1e-06)" and policies["ours, as far as that"] == "0.40 (3e-11)"
    assert policies["blocks"] == "0.45"
    assert policies["order 3 / order 2"] == "**1.20**" and policies["glum"] == "1.00 (2e-06)"
    assert (policies["newton-cholesky"], sentences["glum"], sentences["CSR"]) == ("–", "–", "–")
    assert sentences["dense / newton-cholesky"] == "**0.25**" and sentences["ours, dense"] == "0.25 (1e-12)"


def test_a_method_that_refused_has_no_figures():
    refused = Line("descent: too far", np.nan, [np.nan] * 3, "", 0, np.nan, np.nan, "", np.nan)
    done = Line("influence", 0.1, [0.001, 0.01, 0.1], "no", 2_000_000, 1e-3, np.inf, "0", 0.3)
    lines = cells(performance.method_table([refused, done]))
    assert set(lines["descent: too far"].values()) == {"–"}
    assert lines["influence"]["certified ε"] == "none" and lines["influence"]["forget 100, ms"] == "100"


def made():
    """Figures of a run."""
    second = {"bandwidth, GB/s": 10.0, "BLAS, GF/s": 60.0}
    for p in (500, 1000, 2000):
        second |= {f"forget at p = {p}, ms": p / 100, f"forget at p = {p}, × memory floor": 2.5}
    third = {"p = 128, order 3, shaped": 0.01, "p = 128, order 3, shaped: copying what it must change": 0.004}
    machine = {
        "when": "2026-01-01",
        "cores": 2,
        "processor": "x",
        "python": "3.11",
        "versions": "numpy 2",
        "threads": "none",
        "clock": "s",
    }
    return {
        "floor": second,
        "fits": {"census": performance._beside_glum(GLUM)},
        "third order": third,
        "pass": 1.1,
        "methods": [],
        "census": {"n": 32561, "p": 128},
        "tracking": {"read the state, CPU ms": (1.0, 13.0)},
        "desk": {"first page, s": 0.06, "expunge status, s": 1.1, "expunge status, processor s": 0.8},
        "machine": {**machine, "busy": 1.0, "minutes": 12.0},
    }


def test_the_page_is_made_of_the_figures_and_says_what_it_left_out():
    text = performance.page(made())
    for line in (
        "10.0 GB/s",
        "1.10 times one evaluation",
        "Fits that were left out: flights, sentiment, policies, Poisson.",
        "| order 3, p = 128, shaped noise | 10.00 | 2.5 |",
        "| order 2, p = 2,000 | 20.00 | 2.5 |",
        "| expunge status | 1.10 | 0.80 |",
        "| first page | 0.06 |  |",
        "| read the state, CPU ms | 1.0 | 13.0 |",
        "those of 12 kernels",
    ):
        assert line in text
    assert "{" not in text


def test_the_page_in_the_documentation_is_what_the_command_writes():
    """All but its figures, which are those of whoever ran it last."""
    kept, made_now = performance.PAGE.read_text(encoding="utf-8"), performance.page(made())

    def fixed(text):
        measured = ("|", "Measured on", "Seconds, ", "Census, ", "Forgetting with")
        return [each for each in text.split("\n\n") if not each.startswith(measured)]

    def headings(text):
        return [line for line in text.splitlines() if line.startswith("| ") and line.split("|")[2].strip() in HEADINGS]

    assert fixed(kept) == fixed(made_now)
    assert headings(kept) == headings(made_now) and len(headings(kept)) == len(HEADINGS)


@pytest.mark.parametrize("name", ["fit_table", "method_table", "tracking_table", "desk_table"])
def test_nothing_measured_is_a_table_without_lines(name):
    assert getattr(performance, name)([] if name == "method_table" else {}).rows == []
