"""Is a model on a proposed schema as good as boosting? Held-out people, noise on, beside scikit-learn, all in the same run.

The gap is that in log-loss between the linear schema (the proposal's categories and ranges alone, rows normalised, as
proposals were) and scikit-learn's HistGradientBoosting. Printed is the share of it that each schema closes. A fifth of the
people, patients and aircraft is held out; schemas are proposed from the rest. Models are
``expunge.linear_model.LogisticRegression`` with its defaults.

Run: python -m benchmarks.accuracy [--page docs/accuracy.md [--missing]] [census] [flights] [hospital]

Lines of other data sets stay on the page as they are; with ``--missing`` all lines that it has, and only models without one are
fitted.
"""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.record import SHARED, record
from expunge.data.census import SUBJECT, TARGET, census_table
from expunge.data.encoding import Encoding, MissingIndicator, Number, RandomFourier
from expunge.data.encoding.indicator import plain
from expunge.data.schema import FeatureSchema
from expunge.data.shaping import FEATURES, crosses
from expunge.errors import InvalidRows
from expunge.linear_model import LogisticRegression

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

NAMES = ("census", "flights", "hospital")
PRIVATE = (1.0, 5.0)
"""ε of the private proposals."""
COMPONENTS, GAMMA = 200, 2.0
"""Random Fourier features of all numbers together."""
SAMPLE = 2000
"""Rows from which capacity is forecast."""
HEADINGS = ("data", "model", "features", "log-loss", "gap closed", "forgets at once: statistics", "1 pass", "seconds")


@dataclass(frozen=True)
class Data:
    """A table with the column of its people, targets 0 or 1, and which rows are held out."""

    name: str
    table: pa.Table
    subject: str
    y: Array
    is_test: Mask


def load(name: str) -> Data | None:
    """The data set; ``None`` where its file is absent. The census ships with the package."""
    path = SHARED / {"hospital": "diabetes130.parquet", "flights": "flights.parquet"}.get(name, "")
    if name != "census" and not path.exists():
        return None
    if name == "census":
        table, subject = census_table(), SUBJECT
        y, left_out = np.asarray(table[TARGET], dtype=np.float64), [TARGET, "split"]
    elif name == "hospital":
        table, subject = pq.read_table(path), "patient_nbr"
        y, left_out = np.asarray(pc.not_equal(table["readmitted"], "NO"), dtype=np.float64), ["readmitted", "encounter_id"]
    else:
        table, subject = pq.read_table(path), "tailnum"
        y, left_out = np.asarray(table["late"], dtype=np.float64), ["late"]
    codes = np.asarray(pc.dictionary_encode(table[subject]).combine_chunks().indices)
    is_test = (np.random.default_rng(0).random(codes.max() + 1) < 0.2)[codes]
    return Data(name, table.drop_columns(left_out), subject, y, is_test)


def log_loss(y: Array, p: Array) -> float:
    """Mean log-loss of probabilities of 1, in nats."""
    p = np.clip(p, 1e-15, 1.0 - 1e-15)
    return float(-np.mean(y * np.log(p) + (1.0 - y) * np.log1p(-p)))


def peers(data: Data) -> dict[str, dict[str, Any]]:
    """What scikit-learn's plain pipeline and its boosting reach, both with their defaults."""
    from sklearn import linear_model
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    frame = data.table.drop_columns([data.subject]).to_pandas()
    numbers = [name for name in frame if frame[name].dtype.kind in "iuf"]
    texts = [name for name in frame if name not in numbers]
    frame[texts] = frame[texts].astype(object).fillna("(none)").astype(str)
    encode = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), texts))
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=250)  # boosting takes 255
    boosting = HistGradientBoostingClassifier(categorical_features=list(range(len(texts))), random_state=0)
    models = {
        "scikit-learn: scaler, one-hot, LogisticRegression": make_pipeline(
            encode, linear_model.LogisticRegression(max_iter=1000)
        ),
        "scikit-learn: HistGradientBoosting": make_pipeline(
            make_column_transformer((codes, texts), remainder="passthrough"), boosting
        ),
    }
    found = {}
    for name, model in models.items():
        start = time.perf_counter()
        model.fit(frame[~data.is_test], data.y[~data.is_test])
        loss = log_loss(data.y[data.is_test], model.predict_proba(frame[data.is_test])[:, 1])
        found[name] = {"loss": loss, "seconds": time.perf_counter() - start}
    return found


def schemas(data: Data) -> dict[str, FeatureSchema]:
    """The schemas that are compared, all proposed from the rows that are not held out."""
    rows = data.table.filter(pa.array(~data.is_test))
    proposed = FeatureSchema.propose(rows, data.subject)
    columns = replace(proposed, features={})
    numbers = tuple(name for name, column in proposed.columns.items() if isinstance(plain(column), Number))
    fourier = {"together": RandomFourier(numbers, n_components=COMPONENTS, gamma=GAMMA)}
    found = {
        "linear schema, as proposed before": FeatureSchema({name: _linear(each) for name, each in proposed.columns.items()}),
        "schema propose": proposed,
        "schema propose, without its crosses": columns,
        "the same, with crosses up to 1,000 features": replace(columns, features=crosses(columns.columns, FEATURES)),
        "the same, with random Fourier features": replace(columns, features=fourier),
    }
    for epsilon in PRIVATE:
        try:
            found[f"schema propose --private {epsilon:g}"] = FeatureSchema.propose(rows, data.subject, private=epsilon)
        except InvalidRows as error:
            print(f"{data.name}: nothing is proposed at ε = {epsilon:g}: {error}")
    return found


def _linear(column: Encoding) -> Encoding:
    """The column as it was proposed before there were knots, scales and indicators."""
    declared = column.encoding if isinstance(column, MissingIndicator) else column
    return Number(declared.low, declared.high) if isinstance(declared, Number) else declared


def fitted(data: Data, schema: FeatureSchema) -> dict[str, Any]:
    """What a model with the defaults reaches on this schema, and what it can forget."""
    start = time.perf_counter()
    X = schema.encode(data.table).X
    learned = np.flatnonzero(~data.is_test)
    model = LogisticRegression().fit(X[learned], data.y[learned])
    loss = log_loss(data.y[data.is_test], model.predict_proba(X[np.flatnonzero(data.is_test)])[:, 1])
    seconds = time.perf_counter() - start
    some = np.random.default_rng(0).permutation(learned)[:SAMPLE]
    forecasts = model.capacity(X[some], data.y[some]).forecasts
    capacity = [forecast.random for forecast in forecasts[:2]]
    return {"features": X.shape[1], "loss": loss, "seconds": seconds, "capacity": capacity}


def closed(models: dict[str, dict[str, Any]], loss: float) -> float:
    """The share of the gap that this loss closes."""
    best = models["scikit-learn: HistGradientBoosting"]["loss"]
    return float(1.0 - (loss - best) / (models["linear schema, as proposed before"]["loss"] - best))


def lines(found: dict[str, dict[str, dict[str, Any]]]) -> list[tuple[str, ...]]:
    """The table's lines."""
    return [
        (
            data,
            model,
            f"{figures['features']:,}" if "features" in figures else "",
            f"{figures['loss']:.4f}",
            f"{closed(models, figures['loss']):.0%}",
            *(("?" if rows is None else f"{rows:,}") for rows in figures.get("capacity", ())),
            *([""] * (2 - len(figures.get("capacity", ())))),
            f"{figures['seconds']:.0f}",
        )
        for data, models in found.items()
        for model, figures in models.items()
    ]


def kept(text: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The figures of a page, to the digits that it shows."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for line in text.splitlines():
        cells = [cell.strip().replace(",", "") for cell in line.strip("| ").split(" | ")]
        if len(cells) == len(HEADINGS) and cells[0] in NAMES:
            names = [cell.strip() for cell in line.strip("| ").split(" | ")]
            figures: dict[str, Any] = {"loss": float(cells[3]), "seconds": float(cells[7])}
            if cells[2]:
                capacity = [None if cell == "?" else int(cell) for cell in cells[5:7] if cell]
                figures |= {"features": int(cells[2]), "capacity": capacity}
            found.setdefault(names[0], {})[names[1]] = figures
    return found


def page(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The page of the documentation."""
    table = [f"| {' | '.join(line)} |" for line in (HEADINGS, tuple(["---"] * len(HEADINGS)), *lines(found))]
    every = list(dict.fromkeys(model for models in found.values() for model in models))
    lacking = {name: [model for model in every if model not in models] for name, models in found.items()}
    missing = "; ".join(f"{name}: {', '.join(models)}" for name, models in lacking.items() if models)
    return PAGE.format(table="\n".join(table), missing=f"\nNot measured yet: {missing}.\n" if missing else "")


PAGE = """\
# How good a proposed schema is

Made by `python -m benchmarks.accuracy --page docs/accuracy.md`, not by hand. A fifth of the people (census), aircraft (flights)
or patients (hospital) is held out; schemas are proposed from the rest, and models fitted on it with the defaults of
`LogisticRegression`, noise included. *Gap closed* is the share of the gap in log-loss between the linear schema, as it was
proposed before, and scikit-learn's HistGradientBoosting; over 100 % is better than boosting. *Forgets at once* is how many
rows at random one request may forget by the statistics alone, and with a pass over the rows, as `capacity()` forecasts: wider
models forget fewer. Lines were measured one after another, on a machine that had other work too: *seconds* is a rough guide.

{table}
{missing}
Nothing was chosen by hand: knots, scales and crosses follow from the rules in [Choose encodings](encodings.md#proposals). A
private proposal needs people: there are 3,200 aircraft in the flights, so that at ε = 1 little is left of their columns.
"""


def main(arguments: list[str]) -> None:
    """Prints the table and keeps the figures. The data sets take turns, and the page grows with every model."""
    console, chosen = Console(width=170), [each for each in arguments if each in NAMES] or NAMES
    out = Path(arguments[arguments.index("--page") + 1]) if "--page" in arguments else None
    found: dict[str, Any] = kept(out.read_text(encoding="utf-8")) if out is not None and out.exists() else {}
    found = {name: each for name, each in found.items() if name not in chosen or "--missing" in arguments}
    made: dict[str, tuple[Data, dict[str, FeatureSchema]]] = {}
    for name in chosen:
        data = load(name)
        if data is None:
            console.print(f"left out: {name} ({SHARED} does not hold it)")
        else:
            made[name] = data, schemas(data)
            found[name] = found.get(name) or peers(data)
    models = list(dict.fromkeys(model for _data, each in made.values() for model in each))
    for model in models:
        for name, (data, each) in made.items():
            if model in each and model not in found[name]:
                twin = next((other for other in found[name] if each.get(other) == each[model]), None)  # one without crosses
                found[name][model] = fitted(data, each[model]) if twin is None else dict(found[name][twin])
                print(f"{name}: {model}: {found[name][model]}", file=sys.stderr, flush=True)
        record("accuracy", found)
        if out is not None:
            out.write_text(page(found), encoding="utf-8")
    table = Table(title="Log-loss of held-out people, noise on")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in HEADINGS[:2] else "right")
    for line in lines(found):
        table.add_row(*line)
    console.print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
