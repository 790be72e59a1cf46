"""Exports predict from raw columns what the release does: in scikit-learn, ONNX runtime, databases and the reference scorer."""

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
import sqlglot
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data import formulas
from expunge.data.columns import label
from expunge.data.encoding import Cross, Cyclic, HashedText, MissingIndicator, OrderedCategory, RandomFourier
from expunge.data.formulas import NotWritable, schema_formulas
from expunge.data.schema import Category, FeatureSchema, Number
from expunge.workspace import Workspace
from expunge.workspace.exports import Dialect, Format, export, scorer
from expunge.workspace.exports.rules import Rules
from expunge.workspace.exports.sql import select
from expunge.workspace.model_kinds import InverseLink, ModelKind
from expunge.workspace.published import Published
from tests.forks import once

JOBS = ["clerk", 'O\'Brien "& sons"', "Ärztin 🩺", "", "a\\b", "two\nlines", "*/ -- ;"]
DAYS = [date(2024, 2, 29), date(2024, 3, 1)]
SEEN = [datetime(2024, 2, 29, 10, 15), datetime(2024, 2, 29, 10, 15, 0, 250000)]
SCHEMA = FeatureSchema(
    {
        "age": Number(0, 100, (0, 30, 50, 100)),
        "pay": Number(-10, 1e6),
        "job": Category(tuple(JOBS[:5])),
        "text": Category(tuple(JOBS)),
        "code": Category(("1", "7", "x", "07")),
        "gra\"de'": Category(("1", "2.5", "-0.5", "1.0", "inf")),
        "member": Category(("True", "False", "true")),
        "born": Category((str(DAYS[0]), "1900-01-01", "never")),
        "seen": Category((str(SEEN[0]), str(SEEN[1]))),
        "flag": Number(0, 1),
        "price": Number(0, 9),
        "exact": Category(("1.50", "2.00", "1.5")),
    }
)
WIDER = FeatureSchema(
    {
        "age": MissingIndicator(Number(0, 100, (0, 30, 50, 100), degree=3)),
        "pay": Number(-10, 1e6, (-10, 0, 100, 1e6), degree=3, scale="signed_log"),
        "job": MissingIndicator(OrderedCategory(tuple(JOBS[:5]))),
        "text": Category(tuple(JOBS)),
        "code": OrderedCategory(("0", "1", "7")),
        "gra\"de'": MissingIndicator(Category(("1", "2.5", "-0.5", "1.0", "inf"))),
        "member": Category(("True", "False", "true")),
        "born": Category((str(DAYS[0]), "1900-01-01", "never")),
        "seen": MissingIndicator(Category((str(SEEN[0]), str(SEEN[1])))),
        "flag": Number(0, 1),
        "price": MissingIndicator(Number(0.5, 9, (0.5, 2, 9), scale="log")),
        "exact": Category(("1.50", "2.00", "1.5")),
    },
    features={
        "job of age": Cross(("job", "age")),
        "all three": Cross(("text", "flag", "member")),
        "waves": RandomFourier(("age", "pay", "price"), n_components=12, gamma=3.0, random_state=4),
    },
)
"""Every encoding that has formulas, and every way of combining columns."""
KINDS = pa.schema(
    [
        ("who", pa.string()),
        ("age", pa.float64()),
        ("pay", pa.int64()),
        ("job", pa.string()),
        ("text", pa.string()),
        ("code", pa.int64()),
        ("gra\"de'", pa.float64()),
        ("member", pa.bool_()),
        ("born", pa.date32()),
        ("seen", pa.timestamp("us")),
        ("flag", pa.bool_()),
        ("price", pa.decimal128(6, 2)),
        ("exact", pa.decimal128(6, 2)),
        ("known", pa.float64()),
        ("months", pa.float64()),
    ]
)
VALUES: Mapping[str, list[Any]] = {
    "age": [
        0.0,
        12.5,
        30.0,
        49.999,
        50.0,
        100.0,
        101.0,
        -3.0,
        math.inf,
        -math.inf,
        math.nan,
        None,
        5e-324,
        -0.0,
        1e-200,
        1e300,
    ],
    "pay": [0, -10, -11, 10**6, 10**9, 5, 70_000, None],
    "job": [*JOBS, "diver", None],
    "text": [*JOBS, "CLERK", " ", None],
    "code": [1, 7, 0, -1, None],
    "gra\"de'": [1.0, 2.5, -0.5, 0.5, -0.0, math.inf, math.nan, None],
    "member": [True, False, None],
    "born": [*DAYS, date(1900, 1, 1), None],
    "seen": [*SEEN, datetime(2024, 3, 1), None],
    "flag": [True, False, None],
    "price": [Decimal("1.50"), Decimal("9.99"), Decimal("-1.00"), None],
    "exact": [Decimal("1.50"), Decimal("2.00"), Decimal("3.25"), None],
}
SCORERS = "expunge.linear_model.scorers."
"""Of models that scikit-learn has none for."""
GRADES = ("poor", "fair", "it's good")
EMPTY = dict.fromkeys(VALUES)
NEAREST = {**EMPTY, "age": 5e-324}


def rows(n_rows: int, seed: int) -> pa.Table:
    """Rows in which every value comes, each beside others; the last with one value, with none, and with one next to nothing."""
    rng = np.random.default_rng(seed)
    made = [{name: values[rng.integers(len(values))] for name, values in VALUES.items()} for _ in range(n_rows)]
    for name, values in VALUES.items():
        made += [{**EMPTY, name: value} for value in values]
    made += [EMPTY, NEAREST]
    beside = [{"known": rng.choice([0.0, -1.5, 0.25, 3.0, 5e-324]), "months": rng.uniform(1.0, 9.0)} for _ in made]
    return pa.Table.from_pylist([{"who": f"p{i}", **row, **beside[i]} for i, row in enumerate(made)], KINDS)


def learned(n_rows: int) -> pa.Table:
    """Rows to learn from, with a target of every kind."""
    rng = np.random.default_rng(1)
    table = rows(n_rows, 0)
    n_rows = len(table)
    return (
        table.append_column("stays", pa.array(rng.choice(["no", "yes"], n_rows)))
        .append_column("plan", pa.array(rng.choice(["it's", "gold", "Ü", "none"], n_rows)))
        .append_column("grade", pa.array(rng.choice(GRADES, n_rows)))
        .append_column("came", pa.array(rng.integers(0, 2, n_rows)))
        .append_column("spend", pa.array(rng.gamma(2.0, 2.0, n_rows)))
    )


@dataclass(frozen=True)
class Model:
    """A model, by how it is fitted."""

    name: str
    target: str
    kind: str = "logistic"
    event: str | None = None
    intervals: tuple[float, ...] = ()
    exposure: str | None = None
    offset: str | None = None


MODELS = [
    Model("stays", "stays"),
    Model("plan", "plan"),
    Model("hinge", "stays", "hinge"),
    Model("ordinal", "grade", "ordinal"),
    Model("survival", "spend", "survival", "came", (2.0, 5.0)),
    Model("offset", "stays", offset="known"),
    Model("offset-of-counts", "spend", "negative-binomial", offset="known"),
    Model("exposure", "spend", "negative-binomial", exposure="months"),
    *(
        Model(kind, "spend", kind)
        for kind in ModelKind
        if kind not in (ModelKind.LOGISTIC, ModelKind.HINGE, ModelKind.ORDINAL, ModelKind.SURVIVAL)
    ),
]


CYCLES = replace(
    SCHEMA,
    columns={
        **SCHEMA.columns,
        "age": MissingIndicator(Cyclic((24.0, 0.7), harmonics=2)),
        "pay": Cyclic((7.0,), harmonics=3),
        "gra\"de'": Cyclic((12.0,)),
    },
    features={"job of age": Cross(("flag", "age"))},
)
SCHEMAS = {"normalised": SCHEMA, "as they are": replace(SCHEMA, normalise=False), "wider": WIDER, "cycles": CYCLES}
FEW = ("stays", "plan", "ordinal", "ridge", "poisson", "survival")
"""Models of every way from a linear predictor to a prediction; the others differ by their losses alone."""
CASES = [
    (name, model)
    for name in SCHEMAS
    for model in MODELS
    if name == "normalised" or model.name in (FEW if name != "cycles" else FEW[:1])
]


@pytest.fixture
def found(request):
    name = request.param
    return Workspace.open(once(f"exports-{name.replace(' ', '-')}", lambda folder: fit(name, folder)) / "ws")


def fit(name: str, folder: Path) -> None:
    """A workspace of rows encoded by this schema, with its models."""
    schema, models = SCHEMAS[name], [model for of, model in CASES if of == name]
    pq.write_table(learned(300), folder / "people.parquet")
    schema.write(folder / "schema.toml")
    made = Workspace.create(folder / "ws", str(folder / "people.parquet"), "who", schema=folder / "schema.toml")
    ordered = replace(schema, columns={**schema.columns, "grade": OrderedCategory(GRADES)})
    for model in models:
        (ordered if model.kind == "ordinal" else schema).write(made.storage.schema_path)
        also: Any = {name: getattr(model, name) for name in ("event", "intervals", "exposure", "offset")}
        how: Any = {"model": model.kind, "sigma": 0.01, "penalty": 0.1, **also}
        made.fit(model.name, model.target, accept_undeclared=True, **how)
    made.storage.database.close()


def expected(found: Workspace, model: Model, table: pa.Table) -> pd.DataFrame:
    """Prediction and probabilities by the release; the encoder and scikit-learn make them."""
    predicted = found.predict(model.name, table.drop_columns(["who"])).table.to_pandas().drop(columns="row")
    if model.exposure is not None:
        without = found.predict(model.name, table.drop_columns(["who", model.exposure])).table.to_pandas()
        assert without["prediction"].equals(predicted["prediction"]), "it predicts per unit of the exposure"
    if model.kind in ("logistic", "ordinal"):
        assert predicted.iloc[:, 1:].to_numpy().sum(axis=1) == pytest.approx(1.0)
    return predicted


def agree(given: pd.DataFrame, wanted: pd.DataFrame) -> None:
    assert list(given) == list(wanted) and len(given) == len(wanted) > 250
    for name in wanted:
        if wanted[name].dtype == float:
            np.testing.assert_allclose(given[name].astype(float), wanted[name], rtol=1e-6, atol=1e-6, err_msg=name)
        else:
            assert given[name].tolist() == wanted[name].tolist()


def by_duckdb(statement: str, table: pa.Table) -> pd.DataFrame:
    connection = duckdb.connect()
    connection.register("people", table)
    made: pd.DataFrame = connection.execute(statement).df()
    assert list(made)[: table.num_columns] == table.column_names
    ordered = made.sort_values("who", key=lambda who: who.str[1:].astype(int), ignore_index=True)
    return ordered.iloc[:, table.num_columns :]


def written(found: Workspace, model: Model, form: Format, tmp_path: Path, dialect: Dialect = "duckdb") -> Path:
    path = tmp_path / f"{model.name}.{form}"
    export(found.storage, model.name, form, path, dialect=dialect)
    return path


@pytest.mark.parametrize(("found", "model"), CASES, indirect=["found"], ids=[f"{name}-{model.name}" for name, model in CASES])
class TestAgreement:
    def test_of_scikit_learn(self, model, found, tmp_path):
        from skops.io import get_untrusted_types, load

        path = written(found, model, "sklearn", tmp_path)
        trusted = get_untrusted_types(file=path)
        own = {"ordinal": {SCORERS + "OrdinalScorer"}, "survival": {SCORERS + "HazardScorer"}}.get(model.kind, set())
        assert {name for name in trusted if "expunge" in name} == {"expunge.pipeline.encoder.SchemaEncoder", *own}
        loaded, table = load(path, trusted=trusted), rows(200, 5)
        made = {"prediction": loaded.predict(table)}
        if model.kind in ("logistic", "ordinal"):
            made |= {f"probability_{c}": p for c, p in zip(loaded.classes_, loaded.predict_proba(table).T, strict=True)}
        agree(pd.DataFrame(made), expected(found, model, table))

    def test_of_onnx_row_by_row(self, model, found, tmp_path):
        import onnxruntime

        session = onnxruntime.InferenceSession(written(found, model, "onnx", tmp_path).read_bytes())
        missing = session.get_modelmeta().custom_metadata_map["missing_text"]
        assert missing not in JOBS
        table = rows(200, 6)

        def column(name: str, kind: str) -> np.ndarray:
            values = table[name].to_pylist()
            if kind == "tensor(double)":
                return np.array([[math.nan if value is None else float(value)] for value in values])
            return np.array([[missing if (text := label(value)) is None else text] for value in values], dtype=object)

        inputs = {given.name: column(given.name, given.type) for given in session.get_inputs()}
        assert set(inputs) == {*SCHEMA.columns, *([] if model.offset is None else [model.offset])}
        outputs = [output.name for output in session.get_outputs()]

        def frame(answer: list[Any]) -> pd.DataFrame:
            made = {"prediction": answer[0]}
            if model.kind in ("logistic", "ordinal"):
                classes = Published.of(connection, model.name).classes
                made |= {f"probability_{c}": p for c, p in zip(classes, answer[1].T, strict=True)}
            return pd.DataFrame(made)

        with found.storage.database.reading() as connection:
            wanted = expected(found, model, table)
            agree(frame(session.run(outputs, inputs)), wanted)
            single = [
                frame(session.run(outputs, {name: values[i : i + 1] for name, values in inputs.items()}))
                for i in range(len(table))
            ]
            agree(pd.concat(single, ignore_index=True), wanted)

    def test_of_duckdb(self, model, found, tmp_path):
        table = rows(200, 7)
        statement = written(found, model, "sql", tmp_path).read_text()
        agree(by_duckdb(statement, table), expected(found, model, table))

    def test_of_postgresql(self, model, found, tmp_path, postgresql):
        table = rows(200, 8)
        statement = written(found, model, "sql", tmp_path, dialect="postgres").read_text()
        types = {pa.string(): "text", pa.float64(): "double precision", pa.int64(): "bigint", pa.bool_(): "boolean"}
        types |= {pa.date32(): "date", pa.timestamp("us"): "timestamp", pa.decimal128(6, 2): "numeric(6,2)"}
        columns = [f'"{field.name.replace(chr(34), chr(34) * 2)}" {types[field.type]}' for field in KINDS]
        engine = sa.create_engine(postgresql.new_database())
        with engine.begin() as connection:
            cursor: Any = connection.connection.cursor()
            cursor.execute(f"CREATE TABLE people (place int, {', '.join(columns)})")
            place = ", ".join(["%s"] * (1 + len(columns)))
            listed = [[i, *row.values()] for i, row in enumerate(table.to_pylist())]
            cursor.executemany(f"INSERT INTO people VALUES ({place})", listed)
            cursor.execute(statement)
            names = [column.name for column in cursor.description]
            made = pd.DataFrame(sorted(cursor.fetchall()), columns=names).iloc[:, 1 + len(columns) :]
        engine.dispose()
        agree(made, expected(found, model, table))

    def test_of_spark_as_sqlglot_reads_it(self, model, found, tmp_path):
        table = rows(200, 9)
        statement = written(found, model, "sql", tmp_path, dialect="spark").read_text()
        read = sqlglot.parse_one(statement, read="spark").sql(dialect="duckdb", identify=True)
        agree(by_duckdb(read, table), expected(found, model, table))

    def test_of_the_reference_scorer(self, model, found, tmp_path):
        table = rows(200, 10)
        path = written(found, model, "json", tmp_path)
        plain: dict[type, Any] = {
            float: float,
            int: int,
            bool: bool,
            str: str,
            type(None): lambda _: None,
            Decimal: str,
            date: str,
            datetime: str,
        }
        listed = [{name: plain[type(value)](value) for name, value in row.items()} for row in table.to_pylist()]
        for row in listed:
            row |= {name: None for name, value in row.items() if isinstance(value, float) and math.isnan(value)}
        done = subprocess.run(
            [sys.executable, "-I", "-S", scorer.__file__, str(path)],
            input="".join(json.dumps(row) + "\n" for row in listed),
            capture_output=True,
            text=True,
            check=True,
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        made = [
            {"prediction": a["prediction"], **{f"probability_{c}": p for c, p in a.get("probabilities", {}).items()}}
            for a in answers
        ]
        agree(pd.DataFrame(made), expected(found, model, table))


def test_the_reference_scorer_is_short_and_stands_alone():
    text = Path(scorer.__file__).read_text()
    assert len(text.splitlines()) <= 60
    imported = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import", "from"))}
    assert imported <= sys.stdlib_module_names
    assert {*scorer.OPERATIONS, *scorer.READING} == set(formulas.OPERATIONS)
    assert set(scorer.INVERSE_LINKS) == set(InverseLink)


@pytest.mark.parametrize("found", ["normalised"], indirect=True)
@pytest.mark.parametrize("kind", ModelKind)
def test_every_kind_of_model_says_its_inverse_link(kind, found):
    assert isinstance(kind.inverse_link, InverseLink)
    assert kind in [model.kind for model in MODELS]  # and so is one of those that are compared above


def test_more_features_than_a_database_takes_in_one_expression(tmp_path):
    values = [f"v{i}" for i in range(1500)]
    table = pa.table({"who": values, "job": values, "hours": np.arange(1500.0) % 7})
    pq.write_table(table, tmp_path / "people.parquet")
    FeatureSchema({"job": Category(tuple(values))}).write(tmp_path / "schema.toml")
    made = Workspace.create(tmp_path / "ws", str(tmp_path / "people.parquet"), "who", schema=tmp_path / "schema.toml")
    made.fit("hours", "hours", model="ridge", sigma=0.01)
    export(made.storage, "hours", "sql", tmp_path / "m.sql")
    connection = duckdb.connect()
    connection.register("people", table)
    given = connection.execute((tmp_path / "m.sql").read_text()).df()["prediction"]
    np.testing.assert_allclose(given, made.predict("hours", table).table["prediction"].to_numpy(), atol=1e-9)


def test_columns_called_as_an_output(tmp_path):
    names = ["prediction", "probabilities", "where_3"]
    table = pa.table({"who": [f"p{i}" for i in range(60)], **{name: np.arange(60.0) % (i + 2) for i, name in enumerate(names)}})
    table = table.append_column("y", pa.array(["a", "b", "b"] * 20))
    pq.write_table(table, tmp_path / "people.parquet")
    FeatureSchema({name: Number(0, 9) for name in names}).write(tmp_path / "schema.toml")
    made = Workspace.create(tmp_path / "ws", str(tmp_path / "people.parquet"), "who", schema=tmp_path / "schema.toml")
    made.fit("y", "y", sigma=0.01)
    export(made.storage, "y", "onnx", tmp_path / "m.onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession((tmp_path / "m.onnx").read_bytes())
    assert [output.name for output in session.get_outputs()] == ["prediction_", "probabilities_"]
    given = session.run(None, {name: table[name].to_numpy()[:, None] for name in names})[1][:, 1]
    np.testing.assert_allclose(given, made.predict("y", table).table["probability_b"].to_numpy(), atol=1e-12)


class TestWhatCannotBeWritten:
    @pytest.mark.parametrize(
        ("schema", "named"),
        [
            (FeatureSchema({"age": Number(0, 1), "note": HashedText(64)}), "column 'note' is of kind hashed_text"),
            (FeatureSchema({"age": Number(0, 1), "seen": Cyclic(("week",))}), "column 'seen' is a cycle of dates or times"),
            (FeatureSchema({"note": MissingIndicator(HashedText(64))}), "column 'note' is of kind hashed_text"),
            (
                FeatureSchema({"a": Number(0, 1), "b": Number(0, 1)}, features={"both": Cross(("a", "b"), n_features=8)}),
                "features 'both' are a hashed cross",
            ),
        ],
    )
    def test_an_encoding_without_formulas_is_refused_by_name(self, schema, named):
        with pytest.raises(NotWritable, match=f"{named}, which cannot be written in this format: export it as sklearn"):
            schema_formulas(schema)

    def test_it_is_refused_on_the_command_line_and_sklearn_takes_it(self, tmp_path):
        table = learned(60).select(["who", "text", "stays"])
        pq.write_table(table, tmp_path / "people.parquet")
        FeatureSchema({"text": HashedText(64)}).write(tmp_path / "schema.toml")
        made = Workspace.create(tmp_path / "ws", str(tmp_path / "people.parquet"), "who", schema=tmp_path / "schema.toml")
        made.fit("stays", "stays", sigma=0.01)
        for form in ("json", "onnx", "sql"):
            arguments = [
                "export",
                "stays",
                "--format",
                form,
                "--out",
                str(tmp_path / "m"),
                "-w",
                str(tmp_path / "ws"),
                "--json",
            ]
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 1 and "column 'text' is of kind hashed_text" in json.loads(result.stdout)["message"]
            assert not (tmp_path / "m").exists()
        from skops.io import load

        export(made.storage, "stays", "sklearn", tmp_path / "m")
        loaded = load(tmp_path / "m", trusted=["expunge.pipeline.encoder.SchemaEncoder"])
        given = loaded.predict_proba(table)[:, 1]
        np.testing.assert_allclose(given, made.predict("stays", table).table["probability_yes"].to_numpy(), atol=1e-12)

    @pytest.mark.parametrize("found", ["normalised"], indirect=True)
    def test_a_column_without_literals_is_refused_by_name(self, found):
        with found.storage.database.reading() as connection:
            rules = Rules.of(found.storage, Published.of(connection, "stays"))
        with pytest.raises(NotWritable, match=r"column 'born' holds time64\[us\], which has no literals"):
            select(replace(rules, kinds={**rules.kinds, "born": pa.time64("us")}), "duckdb", "people")
