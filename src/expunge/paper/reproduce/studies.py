"""The data sets that claims are measured on. Only the census ships with the package; the rest is read from a folder.

Each is split by subject, so that no person, patient or aircraft is on both sides. Sources: UCI "Adult" and "Diabetes 130-US
hospitals" (CC BY 4.0), departures from New York in 2013 (CC0), SST-2 phrases as MiniLM sentence embeddings.
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from expunge.data.census import load_census
from expunge.data.schema import FeatureSchema

Array = NDArray[np.float64]
StudyName = Literal["census", "hospital", "flights", "sentiment"]
STUDIES: tuple[StudyName, ...] = get_args(StudyName)


@dataclass(frozen=True, eq=False)
class Study:
    """Encoded rows of norm 1 at most, ``(n_rows, n_features)``, and their targets, 0 or 1, for training and for testing."""

    name: str
    X: Array
    y: Array
    X_test: Array
    y_test: Array


def load_study(name: StudyName, folder: Path) -> Study | None:
    """The study from its file in ``folder``; ``None`` where that is absent. The census needs no file."""
    if name == "census":
        return Study(name, *load_census("train"), *load_census("test"))
    if name == "sentiment":
        path = folder / "sst2_minilm.npz"
        if not path.exists():
            return None
        with np.load(path) as arrays:
            X, X_test = (arrays[key].astype(np.float64) for key in ("X", "X_test"))
            y, y_test = (arrays[key].astype(np.float64) for key in ("y", "y_test"))
        return Study(name, _shortened(X), y, _shortened(X_test), y_test)
    path = folder / {"hospital": "diabetes130.parquet", "flights": "flights.parquet"}[name]
    if not path.exists():
        return None
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if name == "hospital":
        y, subjects = pc.not_equal(table["readmitted"], "NO"), table["patient_nbr"]
    else:
        y, subjects = table["late"], table["tailnum"]
    X = study_schema(name).encode(table).X
    y = np.asarray(y, dtype=np.float64)
    codes = np.asarray(pc.dictionary_encode(subjects).combine_chunks().indices)
    is_test = (np.random.default_rng(0).random(codes.max() + 1) < 0.2)[codes]
    return Study(name, X[~is_test], y[~is_test], X[is_test], y[is_test])


def study_schema(name: Literal["hospital", "flights"]) -> FeatureSchema:
    """The schema of a study's table."""
    return FeatureSchema.from_toml((files("expunge.paper.reproduce") / f"{name}.toml").read_text(encoding="utf-8"))


def _shortened(X: Array) -> Array:
    return np.asarray(X / np.maximum(1.0, np.linalg.norm(X, axis=1, keepdims=True)))
