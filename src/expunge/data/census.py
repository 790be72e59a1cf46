"""The bundled census table: 48,842 people of the 1994 US census, with its schema and its official split.

Source: Becker and Kohavi, "Adult", UCI Machine Learning Repository, 1996, CC BY 4.0; the sampling weight ``fnlwgt`` is
dropped. The target is whether a person earned over $50,000 a year.
"""

from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.data.schema import FeatureSchema

SUBJECT, TARGET, SPLIT = "person_id", "income_over_50k", "split"


def census_table(split: str | None = None) -> Any:
    """The table as a pyarrow ``Table``; ``split`` is ``"train"``, ``"test"`` or ``None`` for both.

    Raises:
        ValueError: ``split`` is something else.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if split not in ("train", "test", None):
        raise ValueError(f"split must be 'train', 'test' or None, got {split!r}")
    with as_file(files("expunge.data") / "census.parquet") as path:
        table = pq.read_table(path)
    return table if split is None else table.filter(pc.equal(table[SPLIT], split))


def census_schema() -> FeatureSchema:
    """The schema of the table, its ranges and categories from the census' own code book."""
    return FeatureSchema.from_toml((files("expunge.data") / "census.toml").read_text(encoding="utf-8"))


def load_census(split: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Encoded rows ``(n_rows, n_features)`` and targets ``(n_rows,)`` of ``"train"`` or ``"test"``."""
    table = census_table(split)
    return census_schema().encode(table).X, np.asarray(table[TARGET], dtype=np.float64)
