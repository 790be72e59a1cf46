"""Values as files of real users have them: each from a file that the test writes, through the command line."""

import datetime
import decimal
import gzip
import json
import math
import re
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.workspace import Workspace, filling
from tests.field.commands import run
from tests.field.table import stored
from tests.workspace.people import SCHEMA, people

ANY = '[columns."who"]\nkind = "category"\nvalues = ["p1"]\n'


def init(folder: Path, data: object, *options: object, code: int = 0):
    """Makes a workspace, whose schema does not matter; what the command answers."""
    (folder / "any.toml").write_text(ANY)
    return run("init", folder / "ws", "--data", data, "--subject", "who", "--schema", folder / "any.toml", *options, code=code)


def refused(folder: Path, data: object, *options: object) -> str:
    """Why a workspace is not made; nothing of it is left."""
    said = init(folder, data, *options, code=1)["message"]
    assert not (folder / "ws").exists()
    return said


def column(folder: Path, name: str) -> list[Any]:
    return stored(folder / "ws")[name].to_pylist()


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def sqlite(path: Path, kind: str, values: list[object]) -> str:
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE t (who TEXT, x {kind})")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(f"p{i}", value) for i, value in enumerate(values)])
    connection.close()
    return f"sqlite:///{path}"


class TestTypesOfWholeColumns:
    """A type is that of all values, not of the first ones."""

    def test_integers_and_then_a_number(self, tmp_path):
        lines = [f"p{i % 100},{i}" for i in range(70_000)]
        init(tmp_path, write(tmp_path / "t.csv", "who,x\n" + "\n".join([*lines, "p1,45.5"])))
        assert column(tmp_path, "x") == [*map(float, range(70_000)), 45.5]

    def test_numbers_and_then_a_text_is_said(self, tmp_path):
        text = "who,x\n" + "".join(f"p{i},{i}\n" for i in range(100)) + "p1,old\n"
        result = CliRunner().invoke(app, ["inspect", str(write(tmp_path / "t.csv", text))])
        assert "column 'x' is text: 100 of its 101 values are numbers, and the first that is not is in row 102" in result.stdout

    def test_codes_among_numbers_keep_their_digits(self, tmp_path):
        codes = ["250.83", "V57", "250.8300", "00250", "12E4", "0x1F", "1_000", "12345678901234567890", "+49", "TRUE"]
        init(tmp_path, write(tmp_path / "t.csv", "who,x\n" + "".join(f"p{i},{code}\n" for i, code in enumerate(codes))))
        assert column(tmp_path, "x") == codes

    @pytest.mark.parametrize("codes", [["00250", "7"], ["12E4", "7"], ["9" * 20, "7"], ["9007199254740993", "0.5"], ["1e999"]])
    def test_what_would_lose_digits_is_text(self, codes, tmp_path):
        init(tmp_path, write(tmp_path / "t.csv", "who,x\n" + "".join(f"p{i},{code}\n" for i, code in enumerate(codes))))
        assert column(tmp_path, "x") == codes

    def test_nothing_in_the_first_rows_of_a_query(self, tmp_path, monkeypatch):
        monkeypatch.setattr("expunge.data.databases.BATCH", 10)
        url = sqlite(tmp_path / "t.sqlite", "REAL", [None] * 25 + [1.5] * 5)
        init(tmp_path, url, "--query", "SELECT * FROM t")
        assert column(tmp_path, "x") == [None] * 25 + [1.5] * 5

    def test_a_query_widens_from_integers_to_numbers(self, tmp_path, monkeypatch):
        monkeypatch.setattr("expunge.data.databases.BATCH", 10)
        url = sqlite(tmp_path / "t.sqlite", "", [*range(25), 45.5])
        init(tmp_path, url, "--query", "SELECT * FROM t")
        assert column(tmp_path, "x") == [*map(float, range(25)), 45.5]

    @pytest.mark.parametrize("odd", ["elderly", b"\0", 2**60])
    def test_a_query_of_mixed_kinds_is_refused_by_row(self, odd, tmp_path, monkeypatch):
        monkeypatch.setattr("expunge.data.databases.BATCH", 10)
        values = [*range(15), odd, 3] if not isinstance(odd, int) else [*[0.5] * 15, odd + 1]
        said = refused(tmp_path, sqlite(tmp_path / "t.sqlite", "", values), "--query", "SELECT * FROM t")
        assert "'x'" in said and ("row 16" in said or "row 11" in said) and "elderly" not in said

    def test_numeric_of_more_digits_than_the_first(self, tmp_path, postgresql, monkeypatch):
        monkeypatch.setattr("expunge.data.databases.BATCH", 10)
        init(
            tmp_path,
            postgresql.new_database(),
            "--query",
            "SELECT 'p' || i AS who, CASE WHEN i = 15 THEN 12345678901234567890.123456 ELSE i + 0.5 END AS x, "
            "CASE WHEN i > 12 THEN i END AS late, '2024-02-29 10:00:00+02'::timestamptz AS at, "
            "'00000000-0000-0000-0000-000000000007'::uuid AS device, i = 3 AS flag, '\\x00ff'::bytea AS raw, "
            "date '2024-02-29' AS day FROM generate_series(1, 20) AS i",
        )
        exact = [decimal.Decimal(i) + decimal.Decimal("0.5") for i in range(1, 21)]
        exact[14] = decimal.Decimal("12345678901234567890.123456")
        assert column(tmp_path, "x") == exact
        assert column(tmp_path, "late") == [None] * 12 + [*range(13, 21)]
        assert column(tmp_path, "device")[0] == "00000000-0000-0000-0000-000000000007"
        assert column(tmp_path, "at")[0] == datetime.datetime(2024, 2, 29, 8, tzinfo=datetime.UTC)
        assert (column(tmp_path, "raw")[0], column(tmp_path, "flag")[2]) == (b"\0\xff", True)

    @pytest.mark.parametrize(
        "kind",
        ["time '10:00'", "interval '1 day'", "'{}'::json", "ARRAY[1]", "'NaN'::numeric", "1e50::numeric", "'10.0.0.1'::inet"],
    )
    def test_what_a_query_gives_and_no_table_keeps(self, kind, tmp_path, postgresql):
        said = refused(tmp_path, postgresql.new_database(), "--query", f"SELECT 'p1' AS who, {kind} AS odd")
        assert "column 'odd'" in said

    def test_two_columns_of_a_query_with_one_name(self, tmp_path):
        url = sqlite(tmp_path / "t.sqlite", "REAL", [1.0])
        assert "are the same" in refused(tmp_path, url, "--query", "SELECT who, x, x FROM t")

    def test_a_file_sorted_by_time_keeps_all_months(self, tmp_path, monkeypatch):
        monkeypatch.setattr(filling, "PROPOSED_FROM", 1200)
        months = [f"month-{1 + i // 1000:02d}" for i in range(12_000)]
        write(tmp_path / "t.csv", "who,month\n" + "".join(f"p{i},{month}\n" for i, month in enumerate(months)))
        run("init", tmp_path / "ws", "--data", tmp_path / "t.csv", "--subject", "who")
        run("schema", "propose", tmp_path / "t.csv", "--subject", "who", "--out", tmp_path / "s.toml")
        for text in ((tmp_path / "ws" / "schema.toml").read_text(), (tmp_path / "s.toml").read_text()):
            assert all(month in text for month in months)


class TestLaterFiles:
    """What was declared holds for every later file."""

    @pytest.fixture
    def made(self, tmp_path):
        text = "who;x;when;n\n" + "".join(f"p{i};{i},5;{i + 1:02d}.02.2024;none\n" for i in range(20))
        options = ("--null-word", "none", "--date-format", "%d.%m.%Y")
        init(tmp_path, write(tmp_path / "t.csv", text), *options)
        assert column(tmp_path, "when")[0] == datetime.date(2024, 2, 1)
        return tmp_path

    def test_are_read_as_the_first_was(self, made):
        run("append", write(made / "u.csv", 'who,x,when,n\nq1,"3,5",29.02.2024,none\n'), "-w", made / "ws")
        assert column(made, "x")[-1] == 3.5 and column(made, "when")[-1] == datetime.date(2024, 2, 29)

    def test_may_say_otherwise(self, made):
        run("append", write(made / "u.csv", "who,x,when,n\nq1,3.5,2024-02-29,none\n"), "--decimal", ".", "-w", made / "ws")
        assert column(made, "x")[-1] == 3.5 and column(made, "when")[-1] == datetime.date(2024, 2, 29)

    @pytest.mark.parametrize(
        ("row", "name"),
        [("q2;elderly;01.02.2024;none", "x"), ("q2;1,5;30.02.2024;none", "when"), ("q2;1.5;01.02.2024;none", "x")],
    )
    def test_a_cell_that_does_not_fit_is_refused_by_row_and_column(self, row, name, made):
        text = f"who;x;when;n\n\nq1;1,5;01.02.2024;none\n{row}\n"
        said = run("append", write(made / "u.csv", text), "-w", made / "ws", code=1)["message"]
        assert f"row 4, column '{name}'" in said and "elderly" not in said
        assert len(column(made, "x")) == 20

    def test_integers_that_become_numbers_are_refused_by_row(self, tmp_path):
        init(tmp_path, write(tmp_path / "t.csv", "who,x\np1,1\n"))
        said = run("append", write(tmp_path / "u.csv", "who,x\np1,1\np2,45.5\n"), "-w", tmp_path / "ws", code=1)["message"]
        assert "row 3, column 'x': the value is not of type integer" in said

    def test_typed_files_are_fitted_and_never_cast(self, tmp_path):
        init(tmp_path, write(tmp_path / "t.csv", "who,x,n\np1,1.5,7\n"))
        for values, kind, is_right in (
            ([2], pa.int8(), True),
            ([2.5], pa.float32(), True),
            ([2**53 + 1], pa.int64(), False),
            (["2.5"], pa.string(), False),
            ([decimal.Decimal("2.5")], None, False),
            ([True], pa.bool_(), False),
        ):
            pq.write_table(pa.table({"who": ["p2"], "x": pa.array(values, kind), "n": [7]}), tmp_path / "u.parquet")
            run("append", tmp_path / "u.parquet", "-w", tmp_path / "ws", code=0 if is_right else 1)
        assert column(tmp_path, "x") == [1.5, 2.0, 2.5]


class TestTextFiles:
    """Dialects, encodings and broken files."""

    @pytest.mark.parametrize("name", ["t.csv", "T.CSV", "t.tsv", "t.txt", "t.csv.gz", "T.Tsv.GZ"])
    def test_names(self, name, tmp_path):
        data = b"who\tx\np1\t1\n"
        (tmp_path / name).write_bytes(gzip.compress(data) if name.lower().endswith("gz") else data)
        init(tmp_path, tmp_path / name)
        assert column(tmp_path, "x") == [1]

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    def test_encodings(self, encoding, tmp_path):
        path = write(tmp_path / "t.csv", "who,größe\np1,\np2,Köln\n", encoding)
        if encoding == "cp1252":
            assert "row 1, column 2: the text is not UTF-8" in refused(tmp_path, path)
        init(tmp_path, path, *(["--encoding", "cp1252"] if encoding == "cp1252" else []))
        assert column(tmp_path, "größe") == [None, "Köln"]

    def test_bytes_that_are_not_utf8_are_refused_by_row(self, tmp_path):
        (tmp_path / "t.csv").write_bytes(b"who,x\np1,a\n\np2,K\xf6ln\n")
        assert "row 4, column 2: the text is not UTF-8" in refused(tmp_path, tmp_path / "t.csv")
        (tmp_path / "t.csv").write_bytes(b"who,x\np1,a\n\np2,\x81\n")
        assert "row 4: the text is not cp1252" in refused(tmp_path, tmp_path / "t.csv", "--encoding", "cp1252")
        write(tmp_path / "t.csv", "who,x\np1,ж\n", "utf-16-le")  # without a mark at its start
        assert "give --encoding utf-16" in refused(tmp_path, tmp_path / "t.csv")
        init(tmp_path, tmp_path / "t.csv", "--encoding", "utf-16")
        assert column(tmp_path, "x") == ["ж"]

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "is empty"),
            (b"\n \n", "is empty"),
            (b"who,x\n", "there are no rows"),
            (b"who,x\np1,1\np2\n", "row 3 has 1 cells where the first has 2"),
            (b"who,x\np1,1\np2,2,3\n", "row 3 has 3 cells where the first has 2"),
            (b"who,x\np1,1\np2,\0\n", "row 3: there is a zero byte"),
            (b'who,x\np1,1\np2,"a\np3,b\np4,c\n', "row 3: a quotation mark was opened and never closed"),
            (b'who,x\np1,"a"\np2,"say \\"hi\\""\n', "row 3: a quotation mark in a quoted cell is neither doubled"),
            (b'who,x\np1,"a\n""b"c\n', "row 2: a quotation mark in a quoted cell is neither doubled"),
            ("who,x\np1,1\n".encode("utf-16-le"), "give --encoding utf-16"),
            (b"who,\np1,1\n", "column 2 has no name"),
            (b"who,x,x\np1,1,2\n", "'x' and 'x', are the same"),
            (b"who,x,X\np1,1,2\n", "differ only in upper and lower case"),
            (b'who,"a\nb"\np1,1\n', "a line break or another character that cannot be seen"),
            (b"who,_row\np1,1\n", "reserved for the table"),
            (b"who,_BUCKET\np1,1\n", "reserved for the table"),
            (b"p1,45.5\np2,7\n", "the first row looks like data"),
            (b'who,a,b\np1,"1,5",2.5\n', "have a decimal comma"),
            (b"PAR1", "is a Parquet file, not what its name says"),
            (b"PK\x03\x04", "is an Excel file (.xlsx), not what its name says"),
            (b"\xd0\xcf\x11\xe0", "is an old Excel file (.xls)"),
            (b"\x1f\x8b\x08\x00broken", "damaged or incomplete"),
        ],
    )
    def test_what_is_refused(self, data, words, tmp_path):
        (tmp_path / "t.csv").write_bytes(data)
        said = refused(tmp_path, tmp_path / "t.csv")
        assert words in said

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            *[("--delimiter", text) for text in ("ab", '"', "é")],
            *[("--encoding", text) for text in ("klingon", "base64")],
            *[("--decimal", text) for text in ("x", ";")],
            *[("--thousands", text) for text in (".", "1", "-")],
            *[("--date-format", text) for text in ("%Q", "day", "%")],
        ],
    )
    def test_options_that_cannot_be(self, option, value, tmp_path):
        assert "fault" not in refused(tmp_path, write(tmp_path / "t.csv", "who,x\np1,1\n"), option, value)

    def test_options_that_a_file_cannot_have(self, tmp_path):
        path = write(tmp_path / "t.csv", "who,x\np1,1\n")
        assert "cannot have the option sheet" in refused(tmp_path, path, "--sheet", "a")
        pq.write_table(pa.table({"who": ["p1"]}), tmp_path / "t.parquet")
        assert "cannot have the option encoding" in refused(tmp_path, tmp_path / "t.parquet", "--encoding", "cp1252")

    def test_a_heading_that_looks_like_data_and_data_that_look_like_a_heading(self, tmp_path):
        path = write(tmp_path / "t.csv", "who,2023,2024\np1,1,2\n")
        assert "--heading" in refused(tmp_path, path)
        init(tmp_path, path, "--heading")
        assert column(tmp_path, "2024") == [2]
        found = run("inspect", write(tmp_path / "u.csv", "p1,1\np2,2\n"), "--no-heading")
        assert [each["name"] for each in found["columns"]] == ["column_1", "column_2"] and found["rows"] == 2
        assert "there is no heading" in found["words"][0]

    @pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
    def test_blank_rows_are_passed_over_and_counted(self, newline, tmp_path):
        path = write(tmp_path / "t.csv", newline.join(["", "", "who,x", "", 'p1,"a', 'b"', ",", "p2,c", "", ",d", ""]))
        assert "row 9 has no subject" in refused(tmp_path, path)

    def test_double_spaced(self, tmp_path):
        init(tmp_path, write(tmp_path / "t.csv", "who,x\r\r\n" + "".join(f"p{i},{i}\r\r\n" for i in range(1000))))
        assert column(tmp_path, "x") == list(range(1000))

    def test_a_cell_of_ten_megabytes(self, tmp_path):
        text = 'who,x\np1,"' + "long\n" * 2_000_000 + '"\np2,b\n'
        init(tmp_path, write(tmp_path / "t.csv", text))
        assert [len(value) for value in column(tmp_path, "x")] == [10_000_000, 1]

    def test_a_heading_of_many_columns(self, tmp_path):
        names = [f"a column with a long name, number {i}" for i in range(5_000)]
        path = write(tmp_path / "t.csv", ";".join(["who", *names]) + "\n" + ";".join(["p1"] * 5_001) + "\n")
        assert [each["name"] for each in run("inspect", path)["columns"]] == ["who", *names]

    def test_marks_of_numbers(self, tmp_path):
        init(tmp_path, write(tmp_path / "t.csv", "who;x;n\np1;1.234,5;1.234\np2;7;12\n"), "--decimal", ",", "--thousands", ".")
        assert (column(tmp_path, "x"), column(tmp_path, "n")) == ([1234.5, 7.0], [1234, 12])

    def test_a_mark_of_thousands_is_never_guessed(self, tmp_path):
        init(tmp_path, write(tmp_path / "t.csv", 'who,x\np1,"1,234"\np2,"5,678"\n'))
        assert column(tmp_path, "x") == ["1,234", "5,678"]

    def test_words_for_missing_values(self, tmp_path):
        text = "who,x,y\nNA,NA,null\nnan,1,Null\n"
        init(tmp_path, write(tmp_path / "t.csv", text))
        assert (column(tmp_path, "x"), column(tmp_path, "y")) == ([None, 1], [None, "Null"])

    def test_a_date_that_there_is_not(self, tmp_path):
        path = write(tmp_path / "t.csv", "who,a,b\np1,29.02.2024,30.02.2024\n")
        init(tmp_path, path, "--date-format", "%d.%m.%Y")
        assert (column(tmp_path, "a"), column(tmp_path, "b")) == ([datetime.date(2024, 2, 29)], ["30.02.2024"])


NAMES = ["a[b]", "[red]x[/red]", 'q"uote', "it's", "<b>", "{x}", ":smile:", "%", "a.b", " space ", "größe", "a,b", "\\", "$x"]


def test_names_of_columns_are_kept_and_printed_to_the_letter(tmp_path):
    header = ",".join('"' + name.replace('"', '""') + '"' for name in ["who", *NAMES])
    path = write(tmp_path / "t.csv", header + "\n" + "".join(f"p{i}{',x' * len(NAMES)}\n" for i in range(40)))
    printed = CliRunner().invoke(
        app, ["init", str(tmp_path / "ws"), "--data", str(path), "--subject", "who"], terminal_width=400
    )
    assert printed.exit_code == 0, printed.output
    assert column(tmp_path, ":smile:") == ["x"] * 40
    schema = (tmp_path / "ws" / "schema.toml").read_text()
    shown = CliRunner().invoke(app, ["inspect", str(path)], env={"COLUMNS": "200"}).stdout
    for name in NAMES:
        assert repr(name) in printed.output and repr(name) in shown
        assert json.dumps(name, ensure_ascii=False) in schema
    run("fit", "m", "--target", "[red]x[/red]", "-w", tmp_path / "ws", code=1)  # a single class, said without a fault


class TestExcel:
    """What a spreadsheet program saves."""

    @staticmethod
    def book(path: Path, rows: Sequence[Iterable[object]], *sheets: str) -> Path:
        made = openpyxl.Workbook()
        for row in rows:
            made.active.append(row)
        for sheet in sheets:
            made.create_sheet(sheet).append(["who", "x"])
        made.save(path)
        return path

    def test_cells_are_what_they_show(self, tmp_path):
        day = datetime.datetime(2024, 2, 29)
        rows: list[list[object]] = [
            ["who", "n", "x", "when", "at", "code"],
            [7, 1, 1.5, day, day.replace(hour=10), "007"],
            ["00007", 2, 2, day, day, "7"],
        ]
        init(tmp_path, self.book(tmp_path / "T.XLSX", rows))
        found = stored(tmp_path / "ws").drop_columns(["_subject", "_row", "who"]).to_pylist()
        assert found[0] == {"n": 1, "x": 1.5, "when": day.date(), "at": day.replace(hour=10), "code": "007"}
        key = Workspace.open(tmp_path / "ws").storage.subject_key
        assert column(tmp_path, "_subject") == [key.pseudonym("7"), key.pseudonym("00007")]

    @pytest.mark.parametrize("who", [7.5, 1e21, datetime.datetime(2024, 2, 29), True])
    def test_ids_that_excel_spoiled(self, who, tmp_path):
        said = refused(tmp_path, self.book(tmp_path / "t.xlsx", [["who", "x"], ["p1", 1], [None, None], [who, 2]]))
        assert "row 4, column 'who'" in said

    def test_several_sheets(self, tmp_path):
        path = self.book(tmp_path / "t.xlsx", [["who", "x"], ["p1", 1]], "other")
        assert "2 sheets, 'Sheet', 'other'" in refused(tmp_path, path)
        assert "has no sheet 'none'" in refused(tmp_path, path, "--sheet", "none")
        assert "there are no rows" in refused(tmp_path, path, "--sheet", "other")
        init(tmp_path, path, "--sheet", "Sheet")

    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            ([["who", "x"], ["p1", "=1+1"]], "row 2: a formula has never been computed"),
            ([["who", None, "x"], ["p1", 1, 2]], "column 2 has no name"),
            ([["who", "x"], ["p1", 1, 2]], "row 2 has a cell to the right of the heading"),
            ([[]], "is empty"),
        ],
    )
    def test_what_is_refused(self, rows, words, tmp_path):
        assert words in refused(tmp_path, self.book(tmp_path / "t.xlsx", rows))

    def test_no_excel_file(self, tmp_path):
        (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04 not really")
        assert "cannot be read as an Excel file" in refused(tmp_path, tmp_path / "t.xlsx")
        assert "is text, not what its name says" in refused(tmp_path, write(tmp_path / "u.xlsx", "who,x\np1,1\n"))


DAY = datetime.date(2024, 2, 29)
KEPT = {
    "date64": pa.array([DAY, None], pa.date64()),
    "stamp": pa.array([datetime.datetime(2024, 2, 29, 10), None], pa.timestamp("ns")),
    "zoned": pa.array([datetime.datetime(2024, 2, 29, 10), None], pa.timestamp("s", "Europe/Berlin")),
    "list": pa.array([[1, 2], None], pa.list_(pa.uint8())),
    "struct": pa.array([{"a": 1, "t": "x"}, None]),
    "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    "exact": pa.array([decimal.Decimal("1.50"), None]),
    "long exact": pa.array([decimal.Decimal("1.50"), None], pa.decimal256(50, 2)),
    "uint64": pa.array([2**63 - 1, None], pa.uint64()),
    "float16": pa.array([1.5, None], pa.float16()),
    "bytes": pa.array([b"\0\xff", None], pa.large_binary()),
    "dictionary": pa.array(["x", None]).dictionary_encode(),
    "nothing": pa.nulls(2),
    "truth": pa.array([True, None]),
}
REFUSED = {
    "time": pa.array([datetime.time(10), None]),
    "duration": pa.array([datetime.timedelta(1), None]),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=7).bytes, None], pa.binary(16))),
    "list of times": pa.array([[datetime.time(10)], None]),
}


class TestTypedFiles:
    """Parquet files: every type is kept, or refused by the name of its column before anything is stored."""

    def test_what_is_kept_comes_back_after_others_were_forgotten(self, tmp_path):
        pq.write_table(pa.table({"who": ["p1", "p2"], **KEPT}), tmp_path / "t.parquet")
        init(tmp_path, tmp_path / "t.parquet")
        run("forget", "p2", "-w", tmp_path / "ws", "--receipts", tmp_path / "r")
        run("process", "--now", "-w", tmp_path / "ws")
        storage = Workspace.open(tmp_path / "ws").storage
        (found,) = storage.table.of_subjects([storage.subject_key.pseudonym("p1")]).to_pylist()
        for name, values in KEPT.items():
            wanted = datetime.datetime(2024, 2, 29, 10) if name == "stamp" else values[0].as_py()
            assert found[name] == wanted, name

    @pytest.mark.parametrize("name", REFUSED)
    def test_what_is_refused_is_named(self, name, tmp_path):
        pq.write_table(pa.table({"who": ["p1", "p2"], "n": [1, 2], name: REFUSED[name]}), tmp_path / "t.parquet")
        assert f"column '{name}' holds" in refused(tmp_path, tmp_path / "t.parquet")

    @pytest.mark.parametrize(
        "values",
        [
            pa.array([1, 2**63], pa.uint64()),
            pa.array([0, 1], pa.timestamp("ns")),
            pa.array([decimal.Decimal(1), decimal.Decimal(10**40)], pa.decimal256(50, 2)),
        ],
        ids=["uint64", "nanoseconds", "digits"],
    )
    def test_a_value_that_would_lose_digits_is_refused_by_row(self, values, tmp_path):
        pq.write_table(pa.table({"who": ["p1", "p2"], "x": values}), tmp_path / "t.parquet")
        assert "row 2, column 'x'" in refused(tmp_path, tmp_path / "t.parquet")

    def test_infinite_and_huge_numbers_in_ranges(self, tmp_path):
        rows = people(400, 250)
        for name, odd in (("inf", math.inf), ("huge", 1.7e308), ("tiny", 5e-324), ("same", 1e300)):
            values = [odd if name == "same" or i % 3 == 0 else -odd if i % 3 == 1 else float(i) for i in range(400)]
            rows = rows.append_column(name, pa.array(values))
        pq.write_table(rows, tmp_path / "t.parquet")
        run("init", tmp_path / "ws", "--data", tmp_path / "t.parquet", "--subject", "who")
        run("fit", "m", "--target", "churn", "-w", tmp_path / "ws", "--sigma", "1")

    def test_a_folder_as_spark_writes_it(self, tmp_path):
        folder = tmp_path / "rows"
        for name in (
            "part-0.parquet",
            "deep/part-1.PARQUET",
            "_temporary/0/part-2.parquet",
            ".hidden.parquet",
            "_part-3.parquet",
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"who": [name], "x": [1]}), folder / name)
        for name in ("_SUCCESS", ".part-0.parquet.crc"):
            (folder / name).write_bytes(b"")
        init(tmp_path, folder)
        key = Workspace.open(tmp_path / "ws").storage.subject_key
        assert set(column(tmp_path, "_subject")) == {key.pseudonym(name) for name in ("part-0.parquet", "deep/part-1.PARQUET")}

    def test_folders_that_do_not_hold_together(self, tmp_path):
        (tmp_path / "a" / "ward=B").mkdir(parents=True)
        assert "no Parquet file" in refused(tmp_path, tmp_path / "a")
        pq.write_table(pa.table({"who": ["p1"], "x": [1]}), tmp_path / "a" / "ward=B" / "t.parquet")
        assert "column 'ward' are in the names of folders" in refused(tmp_path, tmp_path / "a")
        init(tmp_path, tmp_path / "a" / "ward=B")  # a folder above says nothing
        pq.write_table(pa.table({"who": ["p1"], "y": [1]}), tmp_path / "a" / "ward=B" / "u.parquet")
        assert "has a column 'x': write one of them again" in run("inspect", tmp_path / "a" / "ward=B", code=1)["message"]


class TestInspecting:
    """What would be understood is shown before anything is stored."""

    def test_odd_values(self, tmp_path):
        text = (
            "who,plz,city,x,long\n00007,01234,Berlin,1,1\n7,99999,berlin,?,12345678901234567\n,1,Berlin ,NA,3\n\n"
            '9,2,K,"1,5",4\n'
        )
        found = run("inspect", write(tmp_path / "t.csv", text), "--subject", "who")
        odd = {(each["name"], kind["kind"]): kind["examples"] for each in found["columns"] for kind in each["odd"]}
        assert odd == {
            ("who", "leading zeros"): {"'00007'": 2},
            ("plz", "leading zeros"): {"'01234'": 2},
            ("city", "spaces around"): {"'Berlin '": 4},
            ("city", "differ only in case or spaces"): {"'Berlin' and 'berlin' and 'Berlin '": 0},
            ("x", "perhaps missing, taken as text"): {"'?'": 3},
            ("x", "taken as missing"): {"'NA'": 4},
            ("x", "nearly a number"): {"'1,5'": 6},
        }
        by_name = {each["name"]: each for each in found["columns"]}
        assert by_name["long"] | {"odd": 0} == {
            "name": "long",
            "type": "integer",
            "missing": 0,
            "different": 4,
            "odd": 0,
            "low": "1",
            "high": "12345678901234567",
        }
        assert by_name["who"]["missing"] == 1 and found["rows"] == 4

    def test_a_value_does_nothing_to_the_terminal(self, tmp_path):
        path = write(tmp_path / "t.csv", 'who,x\np1," \x1b[31mred"\np2," [bold]y[/bold] :smile:"\n')
        shown = CliRunner().invoke(app, ["inspect", str(path)]).stdout
        assert "\x1b" not in shown and r"' \x1b[31mred'" in shown and "[bold]y[/bold] :smile:" in shown

    def test_a_query(self, tmp_path):
        found = run("inspect", sqlite(tmp_path / "t.sqlite", "REAL", [1.5, None]), "--query", "SELECT * FROM t")
        assert [each["type"] for each in found["columns"]] == ["text", "number"] and found["columns"][1]["missing"] == 1

    def test_the_example_of_the_documentation(self, tmp_path, monkeypatch):
        page = (Path(__file__).parents[2] / "docs" / "files.md").read_text()
        (rows, *_), (shown, *_) = (re.findall(rf"^```{kind}\n(.*?)^```", page, flags=re.M | re.S) for kind in ("csv", "text"))
        write(tmp_path / "stays.csv", rows)
        monkeypatch.chdir(tmp_path)
        first, second = re.findall("^expunge (.*)$", page, flags=re.M)
        assert CliRunner().invoke(app, first.split(), env={"COLUMNS": "100"}).stdout == shown
        assert "number" in CliRunner().invoke(app, second.split(), env={"COLUMNS": "100"}).stdout

    def test_init_shows_it_too(self, tmp_path):
        path = write(tmp_path / "t.csv", "who;x\n" + "".join(f"p{i};{i},5\n" for i in range(40)))
        said = CliRunner().invoke(app, ["init", str(tmp_path / "ws"), "--data", str(path), "--subject", "who"]).output
        for words in (
            "separated by semicolon",
            "the first row is the heading",
            "a decimal comma",
            "number: 'x'",
            "text: 'who'",
        ):
            assert words in said


def test_one_id_is_one_person_from_every_kind_of_file(tmp_path):
    ids = ["00007", "7", "12E4", "120000", "0x1F", "31", "NA", "Null", "nan", "TRUE", "1" * 22, "1" * 21 + "2"]
    rows = pa.table({"who": ids, "x": ["a"] * len(ids)})
    made = {"t.csv": write(tmp_path / "t.csv", "who,x\n" + "".join(f"{who},a\n" for who in ids))}
    pq.write_table(rows, tmp_path / "t.parquet")
    TestExcel.book(tmp_path / "t.xlsx", [["who", "x"], *([who, "a"] for who in ids)])
    with sqlite3.connect(tmp_path / "t.sqlite") as connection:
        connection.execute("CREATE TABLE t (who TEXT, x TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, 'a')", [(who,) for who in ids])
    connection.close()
    (tmp_path / "s.toml").write_text(SCHEMA.replace("age", "x").split('[columns."job"]')[0])
    made |= {name: tmp_path / name for name in ("t.parquet", "t.xlsx")}
    for number, (data, *query) in enumerate(
        [*((path,) for path in made.values()), (f"sqlite:///{tmp_path}/t.sqlite", "--query", "SELECT * FROM t")]
    ):
        folder = tmp_path / str(number)
        run("init", folder, "--data", data, *query, "--subject", "who", "--schema", tmp_path / "s.toml")
        key = Workspace.open(folder).storage.subject_key
        assert stored(folder)["_subject"].to_pylist() == [key.pseudonym(who) for who in ids]
