"""Rows read from Parquet, Delta and SQL are the rows in memory, wherever they lie; what is wrong with them is named."""

import math

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from deltalake import write_deltalake
from scipy import sparse

from expunge.data import sources
from expunge.data.encoding import Cross, Embedding, Encoding, HashedCategory, HashedText, MissingIndicator
from expunge.data.parquet import row_groups
from expunge.data.schema import Category, FeatureSchema, Number
from expunge.data.sources import EncodedPart, QuerySource, TableSource, Without
from expunge.data.table_columns import TableColumns
from expunge.engine.local import LocalEngine
from expunge.errors import InvalidRows
from expunge.numerics.moments import Moments
from expunge.numerics.support import Support
from expunge.privacy import Guarantee
from expunge.problem.arrays import dense
from expunge.problem.losses import Logistic, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.problem.split import SplitMatrix
from expunge.unlearning.dense import DenseState
from expunge.unlearning.learned import row_digests
from expunge.unlearning.settings import Settings
from expunge.unlearning.unlearner import Unlearner

FEATURES = ("a", "b", "c")
COLUMNS = TableColumns(FEATURES, "y")


def table(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    y = (X @ [1.0, -1.0, 0.5] + rng.logistic(size=n) > 0).astype(np.float64)
    who = [f"person-{i // 3}" for i in range(n)]
    return pa.table({**{name: X[:, j] for j, name in enumerate(FEATURES)}, "y": y, "who": who, "note": ["x"] * n})


def rows(of):
    return Rows.of(np.column_stack([of[name].to_numpy() for name in FEATURES]), of["y"].to_numpy())


def written(folder, parts=3, n=3000):
    whole = table(n)
    folder.mkdir()
    for i in range(parts):
        part = whole.slice(i * n // parts, n // parts)
        pq.write_table(part, folder / f"part-{i}.parquet", row_group_size=n // parts // 2)
    return whole


def fitted(source, loss=None):
    return DenseState.fitted(Objective(loss or Logistic(), 3), source, LocalEngine())


def assert_same_model(source, truth):
    found, wanted = fitted(source), fitted(rows(truth))
    assert found.statistics.count == len(truth)
    np.testing.assert_allclose(found.point, wanted.point, rtol=1e-10, atol=1e-12)
    assert found.extremes.row_norm == wanted.extremes.row_norm


def test_a_folder_as_spark_leaves_it_when_a_task_failed(tmp_path):
    whole = written(tmp_path / "t")
    for name in ("_temporary/0/part-9.parquet", ".hidden.parquet", "_part-9.parquet", ".tmp/part-9.parquet"):
        (tmp_path / "t" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "t" / name).write_bytes((tmp_path / "t" / "part-0.parquet").read_bytes())
    (tmp_path / "t" / "_SUCCESS").write_bytes(b"")
    assert_same_model(TableSource.open(str(tmp_path / "t"), COLUMNS), whole)


def test_parquet(tmp_path):
    whole = written(tmp_path / "t")
    assert_same_model(TableSource.open(str(tmp_path / "t"), COLUMNS), whole)
    assert_same_model(TableSource.open(str(tmp_path / "t" / "part-1.parquet"), COLUMNS), whole.slice(1000, 1000))
    source = TableSource.open(str(tmp_path / "t"), COLUMNS)
    assert len(source) == 3000 and len(source.parts()) == 6
    assert_same_model(source.in_one_block(), whole)


def test_more_than_is_gathered_stays_where_it_is(tmp_path, monkeypatch):
    written(tmp_path / "t")
    source = TableSource.open(str(tmp_path / "t"), COLUMNS)
    monkeypatch.setattr("expunge.data.sources.IN_MEMORY", 1000)
    assert source.in_one_block() is source


@pytest.mark.parametrize("where", ["disk", "memory://warehouse/people"])
def test_delta(where, tmp_path):
    """On disk, and on a store that the Delta library itself does not know."""
    local = tmp_path / "delta"
    whole = table()
    write_deltalake(local, whole.slice(0, 2000))
    write_deltalake(local, whole.slice(2000), mode="append")
    write_deltalake(local, table(50, seed=9), mode="append")
    from deltalake import DeltaTable

    DeltaTable(local).restore(1)  # the last fifty rows are no longer of the table, though their file is there
    location = str(local)
    if where != "disk":
        location = where
        fsspec.filesystem("memory").put(str(local), "/warehouse/people", recursive=True)
    assert_same_model(TableSource.open(location, COLUMNS), whole)


def test_delta_with_partitions(tmp_path):
    whole = table()
    place = pa.array(["New York, NY", "Orléans/La Source", "50% = half"] * 1000)
    write_deltalake(tmp_path / "d", whole.append_column("place", place), partition_by=["place"])
    source = TableSource.open(str(tmp_path / "d"), COLUMNS)
    assert len(source) == 3000
    found = fitted(source)
    np.testing.assert_allclose(found.point, fitted(rows(whole)).point, rtol=1e-9, atol=1e-12)


def test_a_deleted_subject_is_skipped_where_the_file_still_holds_it(tmp_path):
    whole = written(tmp_path / "t")
    gone = [f"person-{i}" for i in range(0, 1000, 7)]
    source = TableSource.open(str(tmp_path / "t"), COLUMNS, without=Without("who", pa.array(gone)))
    kept = whole.filter(pa.compute.invert(pa.compute.is_in(whole["who"], value_set=pa.array(gone))))
    assert len(kept) < len(whole)
    assert_same_model(source, kept)
    everybody = Without("who", whole["who"].combine_chunks())
    with pytest.raises(InvalidRows, match="there are no rows"):
        fitted(TableSource.open(str(tmp_path / "t"), COLUMNS, without=everybody))


def test_the_ladder_over_a_file(tmp_path):
    whole = written(tmp_path / "t")
    objective, settings = Objective(Logistic(), 3), Settings(Guarantee(1.0, 1e-5), sigma=0.002, order=2)
    model = Unlearner.learn_from(objective, TableSource.open(str(tmp_path / "t"), COLUMNS), settings)
    gone = [f"person-{i}" for i in range(100)]
    mask = pa.compute.is_in(whole["who"], value_set=pa.array(gone))
    source = TableSource.open(str(tmp_path / "t"), COLUMNS, without=Without("who", pa.array(gone)))
    release = model.forget(rows(whole.filter(mask)), source)
    assert release.certificate.rung in ("pass", "refit") and release.certificate.remaining == 2700
    assert model.true_distance(source) <= release.certificate.distance_bound


def test_sql(tmp_path):
    whole = table()
    url = f"sqlite:///{tmp_path / 'people.sqlite'}"
    engine = sa.create_engine(url)
    whole.to_pandas().to_sql("people", engine, index=False)
    engine.dispose()
    source = QuerySource(url, "SELECT * FROM people", COLUMNS)
    assert_same_model(source, whole)
    without = Without("who", pa.array(["person-0", "person-1"]))
    assert_same_model(QuerySource(url, "SELECT * FROM people", COLUMNS, without=without), whole.slice(6))
    with pytest.raises(InvalidRows, match="the query failed"):
        fitted(QuerySource(url, "SELECT * FROM nobody", COLUMNS))


def test_a_memory_mapped_array(tmp_path):
    whole = table()
    truth = rows(whole)
    np.save(tmp_path / "X.npy", truth.X)
    assert_same_model(Rows.of(np.load(tmp_path / "X.npy", mmap_mode="r"), truth.y), whole)


def test_schema_classes_weights_and_missing_targets(tmp_path):
    whole = pa.table(
        {
            "age": [30, 40, 50, 60, None],
            "job": ["a", "b", "a", None, "b"],
            "late": ["yes", "no", None, "yes", "no"],
            "w": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    pq.write_table(whole, tmp_path / "t.parquet")
    schema = FeatureSchema({"age": Number(0, 100), "job": Category(("a", "b"))})
    columns = TableColumns(schema, "late", ("no", "yes"), "w")
    (found,) = TableSource.open(str(tmp_path / "t.parquet"), columns).batches()
    assert found.y.tolist() == [1, 0, 1, 0]
    assert found.weight.tolist() == [1, 2, 4, 5]
    np.testing.assert_array_equal(found.X, schema.encode(whole.take([0, 1, 3, 4])).X)
    with pytest.raises(InvalidRows, match=r"row 1 of row group 0 of .*t.parquet has a late"):
        list(TableSource.open(str(tmp_path / "t.parquet"), TableColumns(schema, "late", ("yes", "maybe"))).batches())


class TestBadInput:
    """Every refusal names file, row group and row; the state stays as it was."""

    def broken(self, tmp_path, message, change):
        """Fails to fit, and fails to refit a model fitted before the change without changing its state."""
        written(tmp_path / "t")
        location = str(tmp_path / "t")
        objective = Objective(Logistic(), 3)
        model = Unlearner.learn_from(objective, TableSource.open(location, COLUMNS), Settings(Guarantee(1.0, 1e-5), sigma=0.1))
        opened = TableSource.open(location, COLUMNS)
        before = model._secret
        change(tmp_path / "t")
        with pytest.raises(InvalidRows, match="was changed while it was in use"):
            model.refit(opened)
        with pytest.raises(InvalidRows, match=message):
            model.refit(TableSource.open(location, COLUMNS))
        assert model._secret is before

    def rewritten(self, name, column, row, value):
        def change(folder):
            path = folder / name
            part = pq.read_table(path)
            values = part[column].to_pylist()
            values[row] = value
            kind = part.schema.field(column).type if not isinstance(value, str) else pa.string()
            values = [str(v) for v in values] if isinstance(value, str) else values
            index = part.schema.get_field_index(column)
            pq.write_table(part.set_column(index, column, pa.array(values, kind)), path, row_group_size=500)

        return change

    def test_nan(self, tmp_path):
        change = self.rewritten("part-2.parquet", "b", 777, float("nan"))
        self.broken(tmp_path, r"row 277 of row group 1 of .*part-2.parquet, column 1 of X is NaN", change)

    def test_null(self, tmp_path):
        change = self.rewritten("part-1.parquet", "a", 3, None)
        self.broken(tmp_path, r"row 3 of row group 0 of .*part-1.parquet, column 0 of X is NaN", change)

    def test_a_target_that_does_not_fit(self, tmp_path):
        change = self.rewritten("part-0.parquet", "y", 999, 2.5)
        self.broken(tmp_path, r"y of row 499 of row group 1 of .*part-0.parquet is 2.5", change)

    def test_mixed_types(self, tmp_path):
        change = self.rewritten("part-1.parquet", "c", 0, "three")
        self.broken(tmp_path, r"column 'c' holds string in .*part-1.parquet, but float in .*part-0.parquet", change)

    def test_texts(self, tmp_path):
        written(tmp_path / "t")
        with pytest.raises(InvalidRows, match=r"'note' is not numeric \(from row 0 of row group 0 of .*part-0.parquet on\)"):
            fitted(TableSource.open(str(tmp_path / "t"), TableColumns(("a", "note"), "y")), Squared())

    def test_a_text_where_the_schema_wants_a_number(self, tmp_path, monkeypatch):
        monkeypatch.setattr("expunge.data.parquet.VALUES", 100)  # several batches in a row group
        values = [str(i) for i in range(900)]
        values[777] = "many"
        whole = pa.table({"n": values, "y": [0.0, 1.0] * 450, "who": ["a", "b", "c"] * 300})
        pq.write_table(whole, tmp_path / "t.parquet", row_group_size=450)
        columns = TableColumns(FeatureSchema({"n": Number(0, 900)}), "y")
        without = Without("who", pa.array(["b"]))
        with pytest.raises(InvalidRows, match=r"column 'n': row 327 of row group 1 of .*t.parquet is not a number"):
            list(TableSource.open(str(tmp_path / "t.parquet"), columns, without=without).batches())

    def test_a_partition_that_vanishes(self, tmp_path):
        written(tmp_path / "t")
        source = TableSource.open(str(tmp_path / "t"), COLUMNS)
        (tmp_path / "t" / "part-1.parquet").unlink()
        with pytest.raises(InvalidRows, match=r"part-1.parquet is gone: restore it"):
            fitted(source)

    def test_a_file_of_a_delta_table_that_vanishes(self, tmp_path):
        write_deltalake(tmp_path / "d", table())
        next((tmp_path / "d").glob("*.parquet")).unlink()
        with pytest.raises(InvalidRows, match=r"there is no file .*parquet: restore it"):
            TableSource.open(str(tmp_path / "d"), COLUMNS)

    def test_a_column_that_is_missing_in_one_file(self, tmp_path):
        whole = written(tmp_path / "t")
        pq.write_table(whole.drop_columns(["c"]), tmp_path / "t" / "part-9.parquet")
        with pytest.raises(InvalidRows, match=r"part-9.parquet has no column 'c': it has a, b, y"):
            TableSource.open(str(tmp_path / "t"), COLUMNS)

    def test_a_damaged_file(self, tmp_path):
        written(tmp_path / "t")
        source = TableSource.open(str(tmp_path / "t"), COLUMNS)
        (tmp_path / "t" / "part-0.parquet").write_bytes(b"PAR1 nonsense")
        with pytest.raises(InvalidRows, match=r"part-0.parquet was changed while it was in use"):
            fitted(source)
        with pytest.raises(InvalidRows, match=r"part-0.parquet cannot be read"):
            TableSource.open(str(tmp_path / "t"), COLUMNS)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(InvalidRows, match="there is no file"):
            TableSource.open(str(tmp_path / "nowhere"), COLUMNS)
        (tmp_path / "empty").mkdir()
        with pytest.raises(InvalidRows, match="there are no rows"):
            fitted(TableSource.open(str(tmp_path / "empty"), COLUMNS))
        with pytest.raises(InvalidRows, match=r"xyz://a cannot be opened: Protocol not known"):
            TableSource.open("xyz://a", COLUMNS)

    def test_rows_only_listed_as_deleted(self, tmp_path):
        whole = table()
        write_deltalake(tmp_path / "d", whole, configuration={"delta.enableDeletionVectors": "true"})
        with pytest.raises(InvalidRows, match="deletion vectors"):
            TableSource.open(str(tmp_path / "d"), COLUMNS)


def test_rows_of_a_schema_of_categories_come_in_blocks_and_are_the_same_rows(tmp_path):
    """Whatever they come in, the values are those that ``encode`` gives, bit for bit; so are the digests of rows."""
    rng = np.random.default_rng(0)
    values = tuple(f"v{k}" for k in range(40))
    columns: dict[str, Encoding] = {
        "a": Category(values),
        "b": Category(values[:9]),
        "age": Number(0, 90, tuple(range(0, 91, 10))),
        "x": Number(-1, 1),
        "c": Category(("f", "m")),
    }
    schema, n = FeatureSchema(columns), 900
    whole = pa.table(
        {
            "a": rng.choice([*values, "other"], n),
            "b": pa.array([None if rng.random() < 0.05 else values[int(k)] for k in rng.integers(0, 9, n)]),
            "age": rng.uniform(-5, 95, n),
            "x": rng.uniform(-1, 1, n),
            "c": rng.choice(["f", "m", "?"], n),
            "y": rng.integers(0, 2, n).astype(float),
        }
    )
    (tmp_path / "t").mkdir()
    for part in range(3):
        pq.write_table(whole.slice(300 * part, 300), tmp_path / "t" / f"{part}.parquet")
    source = TableSource.open(str(tmp_path / "t"), TableColumns(schema, "y"))
    X = schema.encode(whole).X
    dense, block = Rows.of(X, whole["y"].to_numpy()), source.in_one_block()
    assert isinstance(block, Rows)
    assert isinstance(block.X, SplitMatrix)
    assert [[len(own) for own in each.levels.categories] for each in block.X.blocks] == [[5], [5], [40], [9, 2]]
    assert block.X.nbytes < 0.3 * X.nbytes
    np.testing.assert_array_equal(block.X.toarray(), X)
    np.testing.assert_array_equal(row_digests(block, b"key", False), row_digests(dense, b"key", False))
    objective = Objective(Logistic(), X.shape[1])
    assert Moments.of(objective, block).sums.keys() == Moments.of(objective, dense).sums.keys()
    assert all((Moments.of(objective, block).sums[k] == v).all() for k, v in Moments.of(objective, dense).sums.items())
    for a, b in zip(Support.of(objective, block).groups, Support.of(objective, dense).groups, strict=True):
        np.testing.assert_array_equal(a, b)
    found, wanted = (DenseState.fitted(objective, rows, LocalEngine(), order=3) for rows in (source, dense))
    np.testing.assert_allclose(found.point, wanted.point, rtol=1e-9, atol=1e-12)
    gone = dense.take(slice(0, 5))
    (one, *_), (other, *_) = (list(state.removed(gone).candidates(None, LocalEngine(), 0)) for state in (found, wanted))
    assert one.distance_bound == pytest.approx(other.distance_bound, rel=0.1)  # leverages are rounded up otherwise
    remaining = list(found.removed(gone).candidates(block.take(slice(5, None)), LocalEngine(), 1))
    assert remaining[-1].rung == "refit"


def test_small_parts_are_encoded_together_and_are_the_same_rows(tmp_path, monkeypatch):
    """In as few calls as there are thousands of rows; an error names the part and the row all the same."""
    path, encoded = tmp_path / "p", list[int]()
    written(path, parts=20, n=1000)
    source = TableSource.open(str(path), COLUMNS)
    apart = [rows for part in source.parts() for rows in part.batches()]
    monkeypatch.setattr(sources, "TOGETHER", 300)
    one_by_one = TableColumns.rows

    def counted(columns, table, ids):
        encoded.append(len(table))
        return one_by_one(columns, table, ids)

    monkeypatch.setattr(TableColumns, "rows", counted)
    together = source.in_one_block()
    assert isinstance(together, Rows)
    assert encoded == [300, 300, 300, 100]
    assert together.X.tobytes() == np.concatenate([rows.X for rows in apart]).tobytes()
    assert together.y.tobytes() == np.concatenate([rows.y for rows in apart]).tobytes()
    encoded.clear()
    assert len(source.sample(120)) == 125 and encoded == [125]
    broken = sorted(path.rglob("*.parquet"))[7]
    whole = pq.read_table(broken)
    pq.write_table(whole.set_column(0, "a", pa.array([math.nan] * len(whole), pa.float32())), broken)
    with pytest.raises(InvalidRows, match=rf"row 0 of .*{broken.name}"):
        TableSource.open(str(path), COLUMNS).in_one_block()


def test_texts_of_categories_stay_the_codes_of_their_file(tmp_path):
    """They are never decoded; the column that says whose a row is, is."""
    schema = FeatureSchema({"job": Category(("clerk", "nurse")), "who": Category(("a", "b")), "age": Number(0, 100)})
    whole = pa.table({"job": ["clerk", "nurse", None, "pilot"], "who": ["a", "b", "a", "c"], "age": [1.0, 2.0, 3.0, 4.0]})
    whole = whole.append_column("y", pa.array(["yes", "no", "no", "yes"]))
    pq.write_table(whole, tmp_path / "t.parquet")
    columns, seen = TableColumns(schema, "y", classes=("no", "yes")), []
    (group,) = row_groups(str(tmp_path / "t.parquet"), whole.column_names)

    class Watched:
        name, n_rows = group.name, group.n_rows

        def tables(self, names, looked_up=()):
            for table in group.tables(names, looked_up):
                seen.append([name for name in names if pa.types.is_dictionary(table[name].type)])
                yield table

    rows = list(EncodedPart(Watched(), columns, Without("who", pa.array(["b"]))).batches())
    assert seen == [["job", "y"]]
    np.testing.assert_array_equal(dense(rows[0].X), schema.encode(whole.take([0, 2, 3])).X)
    np.testing.assert_array_equal(rows[0].y, [1, 0, 1])


def test_rows_of_hashed_texts_stay_sparse_and_are_the_same_rows(tmp_path):
    """From every door: as a source, in one block, and alone."""
    schema = FeatureSchema({"note": HashedText(1 << 14), "plane": HashedCategory(1 << 10), "x": Number(0, 300)})
    n = 300
    whole = pa.table(
        {"note": [f"word{i} and{i % 7}" for i in range(n)], "plane": [f"N{i % 40}" for i in range(n)], "x": range(n)}
    )
    whole = whole.append_column("y", pa.array([i % 2 for i in range(n)], pa.float64()))
    pq.write_table(whole, tmp_path / "t.parquet", row_group_size=64)
    columns, expected = TableColumns(schema, "y"), schema.encode(whole).X
    source = TableSource.open(str(tmp_path / "t.parquet"), columns)
    batches = list(source.batches())
    assert len(batches) > 4 and all(isinstance(rows.X, SplitMatrix) and rows.X.nbytes < 100 * len(rows) for rows in batches)
    block = source.in_one_block()
    assert isinstance(block, Rows)
    alone = [columns.rows(whole.slice(i, 1), [i]).X for i in range(n)]
    stacked = [sparse.vstack([X.tocsr() for X in parts]) for parts in ([rows.X for rows in batches], alone)]
    for found in (*stacked, block.X.tocsr()):
        assert (found != expected).nnz == 0


def test_rows_of_one_hashed_value_each_come_in_blocks(tmp_path):
    schema = FeatureSchema({"plane": HashedCategory(1 << 12), "x": Number(0, 1)})
    whole = pa.table({"plane": [f"N{i}" for i in range(50)], "x": [0.5] * 50, "y": [0.0, 1.0] * 25})
    found = TableColumns(schema, "y").rows(whole, range(50)).X
    assert isinstance(found, SplitMatrix) and found.stored == 2
    assert (found.tocsr() != schema.encode(whole).X).nnz == 0


def test_rows_with_many_numbers_beside_hashed_texts_are_csr(tmp_path):
    schema = FeatureSchema({"note": HashedText(1 << 10), "vector": Embedding(300)})
    vectors = np.random.default_rng(0).normal(size=(20, 300))
    whole = pa.table({"note": [f"word{i}" for i in range(20)], "vector": list(vectors), "y": [0.0, 1.0] * 10})
    pq.write_table(whole, tmp_path / "t.parquet", row_group_size=8)
    found = TableSource.open(str(tmp_path / "t.parquet"), TableColumns(schema, "y")).in_one_block()
    assert isinstance(found, Rows) and sparse.issparse(found.X) and found.X.has_canonical_format
    assert (found.X != schema.encode(whole).X).nnz == 0


def test_crosses_of_categories_and_texts_come_in_blocks_and_are_the_same_rows():
    values = tuple(f"v{k}" for k in range(30))
    columns: dict[str, Encoding] = {"a": Category(values), "b": MissingIndicator(Category(values)), "note": HashedText(256)}
    schema = FeatureSchema(columns, features={"ab": Cross(("a", "b")), "an": Cross(("a", "note"), n_features=128)})
    rng, n = np.random.default_rng(0), 200
    picked = [[None if rng.random() < 0.2 else values[k] for k in rng.integers(0, 30, n)] for _ in "ab"]
    whole = pa.table({"a": picked[0], "b": picked[1], "note": ["late and rude", ""] * (n // 2), "y": [0.0, 1.0] * (n // 2)})
    found, expected = TableColumns(schema, "y").rows(whole, range(n)).X, schema.encode(whole).X
    assert isinstance(found, SplitMatrix) and len(found.csr_columns) == 256 + 128 and len(found.blocks) < len(schema.alike) + 1
    assert np.array_equal(found.toarray(), expected.toarray())
    assert [int(schema.groups[place][0]) for place in schema.alike] == [0, 30, 30 + 31 + 256]
