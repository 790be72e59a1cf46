"""Reading from outside: files of any size, a database, and what is wrong with them."""

import sqlite3

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from expunge.data.databases import Query
from expunge.data.reading import read_batches, understood
from expunge.data.rejects import Rejects
from expunge.errors import InvalidRows
from expunge.workspace import Workspace
from tests.workspace.people import people


def read(source, query=None) -> pa.Table:
    schema, batches = read_batches(str(source), query)
    return pa.Table.from_batches(list(batches), schema)


def test_csv_parquet_and_sql_give_the_same_rows(tmp_path):
    rows = people(70_000, 1000)
    pq.write_table(rows, tmp_path / "p.parquet")
    pyarrow.csv.write_csv(rows, tmp_path / "p.csv")
    with sqlite3.connect(tmp_path / "p.sqlite") as connection:
        connection.execute("CREATE TABLE p (who TEXT, age REAL, job TEXT, tenure INT, churn TEXT, visits INT, spend REAL)")
        connection.executemany("INSERT INTO p VALUES (?, ?, ?, ?, ?, ?, ?)", zip(*(c.to_pylist() for c in rows), strict=True))
    connection.close()
    for found in (
        read(tmp_path / "p.parquet"),
        read(tmp_path / "p.csv"),
        read(f"sqlite:///{tmp_path}/p.sqlite", "SELECT * FROM p"),
    ):
        assert found.column_names == rows.column_names
        assert all(found[name].to_pylist() == rows[name].to_pylist() for name in rows.column_names)


def test_a_csv_with_a_broken_last_line(tmp_path):
    pyarrow.csv.write_csv(people(100_000, 1000), tmp_path / "p.csv")
    with open(tmp_path / "p.csv", "a") as file:
        file.write('"person-7",33,"secret-job"\n')
    with pytest.raises(InvalidRows, match="row 100002 has 3 cells where the first has 7") as refusal:
        read(tmp_path / "p.csv")
    assert "secret-job" not in str(refusal.value)
    with pytest.raises(InvalidRows, match="row 100002 has 3 cells"):
        Workspace.create(tmp_path / "ws", str(tmp_path / "p.csv"), "who")
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]  # no half-made workspace


def test_a_csv_with_text_among_its_numbers(tmp_path):
    pyarrow.csv.write_csv(people(100_000, 1000), tmp_path / "p.csv")
    with open(tmp_path / "p.csv", "a") as file:
        file.write('"person-7","old","nurse",3,"yes",1,1.0\n')
    found = understood(str(tmp_path / "p.csv"))
    assert found.schema.field("age").type == pa.string()
    assert found.notes == [
        "column 'age' is text: 100,000 of its 100,001 values are numbers, and the first that is not is in row 100,002"
    ]
    with pytest.raises(InvalidRows, match="row 100002, column 'age': the value is not of type number") as refusal:
        list(read_batches(str(tmp_path / "p.csv"), columns=people(1, 1).schema)[1])
    assert "old" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "there is no file"),
        ("rows.ods", b"", "any of .csv, .tsv"),
        ("rows.parquet", b"PAR1 not really", "cannot be read"),
        ("rows.csv", b"", "is empty"),
    ],
)
def test_what_is_no_table(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidRows, match=message):
        read(tmp_path / name)


def test_a_query_whose_columns_are_declared_is_run_once(tmp_path, monkeypatch):
    with sqlite3.connect(tmp_path / "p.sqlite") as connection:
        connection.execute("CREATE TABLE p (who TEXT, age REAL)")
        connection.executemany("INSERT INTO p VALUES (?, ?)", [(f"p{i}", i / 2) for i in range(100)])
    connection.close()
    runs = []
    parts = Query._parts

    def counted(query):
        runs.append(query)
        return parts(query)

    monkeypatch.setattr(Query, "_parts", counted)
    columns = pa.schema([("age", pa.float64())])
    batches = read_batches(f"sqlite:///{tmp_path}/p.sqlite", "SELECT * FROM p", columns=columns)[1]
    assert [age for batch in batches for age in batch["age"].to_pylist()] == [i / 2 for i in range(100)]
    assert len(runs) == 1


def test_a_query_that_fails(tmp_path):
    with pytest.raises(
        InvalidRows, match=r"the query failed: OperationalError, SQLITE_ERROR \(it is not valid SQL for this database"
    ):
        read(f"sqlite:///{tmp_path}/p.sqlite", "SELECT * FROM none")
    with pytest.raises(InvalidRows, match=r"ResourceClosedError \(the statement returns no rows"):
        read(f"sqlite:///{tmp_path}/p.sqlite", "CREATE TABLE p (a)")
    with pytest.raises(InvalidRows, match="the query returned no rows"):
        read(f"sqlite:///{tmp_path}/p.sqlite", "SELECT 1 WHERE 0")


def test_a_drivers_words_which_may_quote_a_value_are_not_shown(postgresql, tmp_path):
    url = postgresql.new_database()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE p (who TEXT, age TEXT)")
        connection.exec_driver_sql("INSERT INTO p VALUES ('ann', '21'), ('bob', 'canary-97')")
    cast = "SELECT who, CAST(age AS INTEGER) AS age FROM p"
    with pytest.raises(sa.exc.DataError, match="canary-97"), engine.connect() as connection:
        connection.exec_driver_sql(cast)
    engine.dispose()
    for query, means in (
        (cast, r"22P02 \(a value cannot be computed"),
        ("SELECT who FROM p WHERE canary_97 = 1", r"42703 \(it is not valid SQL for this database, or names a table or column"),
    ):
        with pytest.raises(InvalidRows, match=f"the query failed: .*{means}") as refused:
            read(url, query)
        assert "canary" not in str(refused.value)
    with pytest.raises(InvalidRows, match=r"the query failed: OperationalError.* in its own client"):
        read(f"{url}_not_there", cast)


def test_a_number_that_the_column_would_round_is_refused_for_that(tmp_path):
    pq.write_table(pa.table({"age": pa.array([1.5, 0.1], pa.float64())}), tmp_path / "t.parquet")
    columns = pa.schema([("age", pa.float32())])
    message = r"row 2, column 'age': the number has more digits than the column holds, whose numbers have 32 bits \(about 7 dig"
    with pytest.raises(InvalidRows, match=message):
        list(read_batches(str(tmp_path / "t.parquet"), columns=columns)[1])
    aside = Rejects()
    kept = list(read_batches(str(tmp_path / "t.parquet"), columns=columns, rejects=aside)[1])
    assert [batch["age"].to_pylist() for batch in kept] == [[1.5]]
    assert aside.document == "row,reason,age\n2,column 'age': would be rounded in a column of 32-bit numbers,0.1\n"
