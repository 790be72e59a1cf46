"""The table: rows go in under pseudonyms, come out by person, and leave without a trace in log, statistics or files."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from expunge.data import table as table_module
from expunge.data import table_files
from expunge.data.files import Change, DataFile
from expunge.data.numbering import numbered
from expunge.data.own_columns import ROW, bucket_of
from expunge.data.pseudonyms import Identification, SubjectKey
from expunge.data.table import FRAGMENTS, SubjectTable
from expunge.errors import InvalidRows, WorkspaceInvalid
from tests.workspace.people import people


@pytest.fixture
def key(tmp_path):
    (tmp_path / "subject.key").write_text(bytes(range(32)).hex())  # one that gives the same buckets every time
    return SubjectKey.load(tmp_path / "subject.key")


@pytest.fixture
def table(tmp_path, key):
    rows = people(200, 90)
    return listed(tmp_path / "table", rows, key)


class ListedTable(SubjectTable):
    """A table that keeps its list in memory."""

    files_now: list[DataFile]


def listed(path, rows, key):
    """A table that keeps its list in memory, with ``rows`` in it."""
    SubjectTable.create(path, rows.drop_columns("who").schema)
    files: list[DataFile] = []
    made = ListedTable(path, lambda: list(files))
    made.files_now = files
    changed(
        made,
        Change(tuple(made.write(numbered(rows.to_batches(max_chunksize=37), Identification(key, "who"), made.columns, 0), 0))),
    )
    return made


def changed(table, change):
    table.files_now[:] = change.applied(table.files_now)
    table.follow()
    table.delete(change.going)


def rewrite(table, batch, without, added=None):
    changed(table, table.prepare(batch, without, added))


def read(table, column):
    return [
        value for part in table.row_groups([column]) for rows in part.tables([column]) for value in rows[column].to_pylist()
    ]


def test_everybody_is_found(table, key):
    rows = people(200, 90)
    assert table.count() == 200
    assert sorted(number for number in read(table, ROW)) == list(range(200))
    tags = [key.pseudonym(f"person-{i}") for i in range(90)]
    counts = table.counts(tags)
    for i, tag in enumerate(tags):
        mine = rows.filter(pa.compute.equal(rows["who"], f"person-{i}"))
        found = table.of_subjects([tag])
        assert found["age"].to_pylist() == mine["age"].to_pylist()
        assert counts[tag] == len(mine)
    assert table.counts([key.pseudonym("nobody")]) == {}
    assert len(table.of_subjects([])) == 0
    assert table.count("spend") == rows["spend"].length() - rows["spend"].null_count
    assert table.distinct("job", 10) == ["clerk", "nurse", "pilot"]


def test_a_change_that_is_followed_twice_is_followed_once(table, key):
    tags = [key.pseudonym("person-1"), key.pseudonym("person-2")]
    gone = sum(table.counts(tags).values())
    new = pa.Table.from_batches(numbered(people(5, 5, seed=2).to_batches(), Identification(key, "who"), table.columns, 200))
    change = table.prepare(1, tags, new)
    assert table.count() == 200  # nothing has happened yet
    for _ in range(3):
        changed(table, change)
        assert table.count() == 200 - gone + 5
        assert table.logged() == {file.path for file in table.present()}
    assert table.strays() == []
    assert sorted(read(table, ROW))[-5:] == [200, 201, 202, 203, 204]


def test_a_change_that_was_given_up_leaves_nothing(table, key):
    before = {path: path.read_bytes() for path in table.path.rglob("*.parquet")}
    table.prepare(1, [key.pseudonym("person-0")], None)
    table.prepare(2, [key.pseudonym("person-2")], None)
    table.discard(1)
    assert len(table.strays()) == 1  # that of the other batch
    table.discard(2)
    assert {path: path.read_bytes() for path in table.path.rglob("*.parquet")} == before


def test_many_files_of_a_bucket_become_one(table, key):
    rows = people(200, 90)
    for batch in range(1, 20):
        new = numbered(rows.slice(batch, 1).to_batches(), Identification(key, "who"), table.columns, 200 + batch)
        rewrite(table, batch, [], pa.Table.from_batches(new))
    tag = key.pseudonym(rows["who"][5].as_py())
    for batch in range(20, 60):
        new = numbered(rows.slice(5, 1).to_batches(), Identification(key, "who"), table.columns, 200 + batch)
        rewrite(table, batch, [], pa.Table.from_batches(new))
    assert len(table.files([bucket_of(tag)])) <= FRAGMENTS
    assert table.count() == 259 and len(set(read(table, ROW))) == 259


class TestDeleting:
    """Only files that were named are deleted, whatever the folder is called."""

    @pytest.mark.parametrize("number", range(7))
    def test_the_spelling_of_the_folder_changes_nothing(self, number, table, key, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "link").symlink_to(tmp_path / "table")
        (tmp_path.parent / f"{tmp_path.name}-link").symlink_to(tmp_path)
        spelling = (
            str(tmp_path / "table"),
            f"{tmp_path}/table/",
            f"../{tmp_path.name}/table",
            "link",
            f"../{tmp_path.name}-link/table",
            "./table",
            f"{tmp_path}/table/../table",
        )[number]
        other = ListedTable(Path(spelling), table.present)
        other.files_now = table.files_now
        tag = key.pseudonym("person-7")
        kept = table.count() - table.counts([tag])[tag]
        rewrite(other, 1, [tag])
        assert (other.count(), other.strays(), other.counts([tag])) == (kept, [], {})
        assert len(read(other, ROW)) == kept

    def test_a_file_of_somebody_else_stays(self, table, key):
        foreign = table.path / "_bucket=3" / "backup.parquet"
        foreign.parent.mkdir(exist_ok=True)
        foreign.write_bytes(b"mine")
        rewrite(table, 1, table.subjects().to_pylist())
        table.discard(1)
        assert table.strays() == [foreign]

    def test_a_file_of_the_table_is_never_deleted(self, table):
        with pytest.raises(WorkspaceInvalid, match="not where the ledger says"):
            table.delete(table.files()[:1])
        assert table.count("age") == 200

    def test_nothing_is_deleted_where_no_file_is_where_it_should_be(self, table, key, tmp_path):
        change = table.prepare(1, [key.pseudonym("person-7")], None)
        table.files_now[:] = change.applied(table.files_now)
        other = SubjectTable(tmp_path / "elsewhere", table.present)
        with pytest.raises(WorkspaceInvalid, match="not where the ledger says"):
            other.delete(change.going)


class TestIntegrity:
    def test_one_flipped_bit_is_noticed_when_it_is_read(self, table, key):
        rng = np.random.default_rng(0)
        for path in sorted(table.path.rglob("*.parquet"))[:20]:
            whole, tag = (
                path.read_bytes(),
                next(tag for tag in table.subjects().to_pylist() if f"_bucket={bucket_of(tag)}" == path.parent.name),
            )
            flipped = bytearray(whole)
            flipped[rng.integers(len(whole))] ^= 1 << rng.integers(8)
            path.write_bytes(flipped)
            for reading in (lambda: table.of_subjects([tag]), lambda: table.counts([tag]), lambda: read(table, "age")):  # noqa: B023
                with pytest.raises(WorkspaceInvalid, match="is not the one that was written"):
                    reading()
            with pytest.raises(WorkspaceInvalid, match="is not the one that was written"):
                table.prepare(1, [tag], None)
            path.write_bytes(whole)
        assert table.count("age") == 200

    def test_a_file_that_was_added_or_dropped_in_the_log_is_not_read(self, table):
        DeltaTable(table.path).delete("_bucket = 4")
        assert table.logged() != {file.path for file in table.present()}
        assert len(read(table, ROW)) == 200


def test_a_bucket_may_become_empty(table, key):
    rewrite(table, 1, table.subjects().to_pylist())
    assert table.count() == 0
    assert table.subjects().to_pylist() == []
    assert table.distinct("job", 5) == []


def test_the_log_names_buckets_and_nobody(table, key):
    tag = key.pseudonym("person-7")
    rewrite(table, 1, [tag])
    written = [path.read_text() for path in sorted((table.path / "_delta_log").glob("*.json"))]
    assert f"_bucket={bucket_of(tag)}/" in written[-1]
    for text in written:
        assert tag not in text and "person" not in text
        for line in text.splitlines():
            added = json.loads(line).get("add")
            if added:
                statistics = json.loads(added["stats"])
                assert not any(statistics.get(name) for name in ("minValues", "maxValues", "nullCount"))


def test_parquet_files_hold_no_statistics(table):
    for path in table.path.rglob("*.parquet"):
        group = pa.parquet.ParquetFile(path).metadata.row_group(0)
        assert all(group.column(i).statistics is None for i in range(group.num_columns))


def test_ids_are_pseudonyms_of_their_text(key):
    assert key.pseudonym(" 7 ") == key.pseudonym("7") != key.pseudonym("007")
    assert key.pseudonym("7") != key.pseudonym("8")
    assert key.tombstone(key.pseudonym("7")) != key.pseudonym("7")


def test_another_key_gives_other_pseudonyms(key, tmp_path):
    other = SubjectKey.create(tmp_path / "other.key")
    assert other.pseudonym("7") != key.pseudonym("7")
    assert other.fingerprint() != key.fingerprint()
    assert SubjectKey.load(tmp_path / "subject.key") == key


class TestBadInput:
    def test_a_row_without_a_subject(self, table, key):
        rows = people(50, 50)
        who = rows["who"].to_pylist()
        who[41] = None
        rows = rows.set_column(0, "who", pa.array(who))
        with pytest.raises(InvalidRows, match="row 42 has no subject"):
            table.write(numbered(rows.to_batches(max_chunksize=7), Identification(key, "who"), table.columns, 200), 1)
        table.discard(1)
        assert (table.count(), table.strays()) == (200, [])

    def test_a_column_that_is_missing_or_of_another_type(self, table, key):
        rows = people(5, 5)
        with pytest.raises(InvalidRows, match="column 'age' is missing"):
            list(numbered(rows.drop_columns("age").to_batches(), Identification(key, "who"), table.columns, 0))
        text = rows.set_column(1, "age", pa.array(["young"] * 5))
        with pytest.raises(InvalidRows, match="column 'age' holds string from row 1 on, where the table has double"):
            list(numbered(text.to_batches(), Identification(key, "who"), table.columns, 0))

    def test_a_column_with_a_name_of_the_tables_own(self, tmp_path):
        with pytest.raises(InvalidRows, match="'_row' is reserved for the table"):
            SubjectTable.create(tmp_path / "t", pa.schema([("_row", pa.int64())]))

    def test_no_table(self, tmp_path):
        with pytest.raises(WorkspaceInvalid, match="cannot be opened"):
            SubjectTable(tmp_path / "none", list).logged()


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", "b", None]).dictionary_encode(),
        pa.array(["a", "b", None], pa.large_string()),
        pa.array([1, 2, None], pa.uint16()),
        pa.nulls(3),
        pa.array([True, False, None]),
        pa.array([1.5, 2.5, None], pa.float32()),
    ],
    ids=lambda values: str(values.type),
)
def test_columns_of_many_types(values, tmp_path, key):
    rows = pa.table({"who": ["x", "y", "z"], "column": values})
    made = listed(tmp_path / "t", rows, key)
    assert [made.of_subjects([key.pseudonym(who)])["column"][0].as_py() for who in "xyz"] == values.to_pylist()


def test_queries_share_a_database_and_see_nothing_of_each_other(table, key, monkeypatch):
    """Another process, as one that was forked, makes its own."""
    import duckdb

    everybody = table.subjects().to_pylist()
    (database,) = {id(made) for made in table_module._DATABASES.values()}
    held = table.counts(everybody[:1])
    one, other = table_module._connection(tags=pa.table({"a": [1]})), table_module._connection()
    with pytest.raises(duckdb.CatalogException):
        other.sql("SELECT * FROM tags")
    one.close()
    assert other.sql("SELECT * FROM duckdb_views() WHERE NOT internal").fetchall() == []
    other.close()
    assert {id(made) for made in table_module._DATABASES.values()} == {database}
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert table.counts(everybody[:1]) == held
    assert id(table_module._DATABASES.pop(-1)) != database


def test_who_needs_some_rows_reads_no_more_files_than_hold_them(table, monkeypatch):
    hashed, digest_of = [], table_files._digest

    def noticed(path):
        hashed.append(path)
        return digest_of(path)

    monkeypatch.setattr(table_files, "_digest", noticed)
    first, *_ = sorted(table.files_now, key=lambda file: file.place)
    groups = table.first_row_groups(["age"])
    found = next(groups)
    assert hashed == [table.path / first.path] and found.n_rows == first.rows
    next(groups)
    assert len(hashed) == 2 < len(table.files_now)
    rest = [group.n_rows for group in groups]
    assert len(hashed) == len(table.files_now) and found.n_rows + sum(rest) < table.count()  # the second is in neither


def test_of_the_files_that_are_read_for_some_rows_none_may_be_another_than_was_written(table):
    first, second, *_ = sorted(table.files_now, key=lambda file: file.place)
    (table.path / second.path).write_bytes((table.path / first.path).read_bytes())
    groups = table.first_row_groups(["age"])
    next(groups)
    with pytest.raises(WorkspaceInvalid, match="not the one that was written"):
        next(groups)


READERS = {
    "schema": lambda table, tag: table.schema,
    "columns": lambda table, tag: table.columns,
    "count": lambda table, tag: table.count("age"),
    "distinct": lambda table, tag: table.distinct("age", 9),
    "subjects": lambda table, tag: sorted(table.subjects().to_pylist()),
    "of_subjects": lambda table, tag: table.of_subjects([tag]).to_pylist(),
    "counts": lambda table, tag: table.counts([tag]),
    "by_bucket": lambda table, tag: sum(len(read(["age"])[1]) for read in table.by_bucket()),
    "settled": lambda table, tag: table.settled(lambda: sorted(read(table, "age"))),
}


@pytest.mark.parametrize("reader", READERS)
def test_who_reads_while_the_table_is_rewritten_finds_the_same(table, key, reader):
    """Every bucket is rewritten, and its files are deleted, right after the list was read: for every time it is read."""
    tag = key.pseudonym("person-7")
    expected = READERS[reader](table, tag)
    everywhere = sorted({f"{file.bucket:02x}" for file in table.files_now})  # nobody is called so: all rows stay
    batch, asked = 0, 0

    def listed_and_rewritten():
        nonlocal batch, asked
        now, asked = list(table.files_now), asked + 1
        if asked == moment:
            batch += 1
            rewrite(table, batch, everywhere)
        return now

    for moment in range(1, 20):
        asked = 0
        found = READERS[reader](SubjectTable(table.path, listed_and_rewritten), tag)
        assert found == expected
        if asked < moment:
            return
    raise AssertionError("the list was read more often than was tried")
