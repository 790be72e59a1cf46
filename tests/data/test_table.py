"""The table: rows go in under pseudonyms, come out by person, and leave without a trace in log, statistics or files."""

import json

import pyarrow as pa
import pytest

from expunge.data.pseudonyms import SubjectKey, subject_text
from expunge.data.table import ROW, SUBJECT, SubjectTable, bucket_of, numbered
from expunge.errors import InvalidRows, WorkspaceInvalid
from tests.workspace.people import people


@pytest.fixture
def key(tmp_path):
    return SubjectKey.create(tmp_path / "subject.key")


@pytest.fixture
def table(tmp_path, key):
    rows = people(200, 90)
    made = SubjectTable.create(tmp_path / "table", rows.drop_columns("who").schema)
    made.append(numbered(rows.to_batches(max_chunksize=37), "who", key, made.columns, 0))
    return made


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


def test_rewriting_twice_is_rewriting_once(table, key):
    tags = [key.pseudonym("person-1"), key.pseudonym("person-2")]
    gone = sum(table.counts(tags).values())
    new = list(numbered(people(5, 5, seed=2).to_batches(), "who", key, table.columns, 200))
    for _ in range(3):
        table.rewrite(tags, 200, new)
        assert table.count() == 200 - gone + 5 - sum(tag in tags for batch in new for tag in batch[SUBJECT].to_pylist()) * 0
    assert table.strays() == []


def test_a_bucket_may_become_empty(table, key):
    everybody = table.subjects().to_pylist()
    table.rewrite(everybody, 10**6)
    assert table.count() == 0
    assert table.subjects().to_pylist() == []
    assert table.distinct("job", 5) == []


def test_the_log_names_buckets_and_nobody(table, key):
    tag = key.pseudonym("person-7")
    table.rewrite([tag], 10**6)
    written = [path.read_text() for path in sorted((table.path / "_delta_log").glob("*.json"))]
    assert f"_bucket = {bucket_of(tag)}" in written[-1] or f"_bucket IN ({bucket_of(tag)}" in written[-1]
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
    assert subject_text(7) == subject_text(7.0) == subject_text(" 7 ") == "7"
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
        with pytest.raises(InvalidRows, match="row 41 has no subject"):
            table.append(numbered(rows.to_batches(max_chunksize=7), "who", key, table.columns, 200))
        assert (table.count(), table.version) == (200, 1)

    def test_a_column_that_is_missing_or_of_another_type(self, table, key):
        rows = people(5, 5)
        with pytest.raises(InvalidRows, match="column 'age' is missing"):
            list(numbered(rows.drop_columns("age").to_batches(), "who", key, table.columns, 0))
        text = rows.set_column(1, "age", pa.array(["young"] * 5))
        with pytest.raises(InvalidRows, match="column 'age' holds string after row 0, where the table has double"):
            list(numbered(text.to_batches(), "who", key, table.columns, 0))

    def test_a_column_with_a_name_of_the_tables_own(self, tmp_path):
        with pytest.raises(InvalidRows, match="'_row' is one of the table's own"):
            SubjectTable.create(tmp_path / "t", pa.schema([("_row", pa.int64())]))

    def test_no_table(self, tmp_path):
        with pytest.raises(WorkspaceInvalid, match="cannot be opened"):
            SubjectTable(tmp_path / "none").count()


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
    made = SubjectTable.create(tmp_path / "t", rows.drop_columns("who").schema)
    made.append(numbered(rows.to_batches(), "who", key, made.columns, 0))
    assert [made.of_subjects([key.pseudonym(who)])["column"][0].as_py() for who in "xyz"] == values.to_pylist()
