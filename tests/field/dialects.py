"""Random tables as people write them, and what they mean by the documented rules, told without the reader's code or Arrow."""

import csv
import gzip
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

from expunge.data.dialect import Reading

IDS = (
    *("00007", "7", "12E4", "120000", "0x1F", "31", "NA", "Null", "nan", "TRUE", "1.0"),
    *("1234567890123456789012", "1234567890123456789013"),
)
TEXTS = (
    *("00012", "12E4", "0x1F", "1_000", " x ", "naïve", 'say "hi"', "a,b", "a;b", "a|b", "tab\there", "two\nlines", "a\r\nb"),
    *("=1+1", "-", "1 234", "inf", "-inf", "TRUE", "2024-02-30", "[b]x[/b]", "12345678901234567890", "+5", "1e5", "Ж", "😀"),
    *('"', "'", "NA", "nan", "NULL", "none", "n/a", "5 %", "1.2.3", "--", "2024-02-29 25:00:00"),
)
NAMES = (
    *("age", "two words", "a[b]", "[red]x[/red]", 'q"uote', "größe", "% of pay", "x:y", "it's", ":smile:", "a.b", "SELECT"),
    *("Name", "#"),
)
CODES = ("zeros", "long", "power", "hex", "plus", "plain")
WORDS = ("NA", "NaN", "nan", "null", "NULL")


@dataclass(frozen=True)
class Written:
    """A file, and how it was written: what must be said of it, and what must be found."""

    path: Path
    said: Reading
    encoding: str
    delimiter: str
    decimal: str
    thousands: str | None
    words: tuple[str, ...]


def write(folder: Path, seed: int) -> Written:
    """A file of random rows in a random dialect."""
    rng = Random(seed)
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"])
    delimiter, decimal = rng.choice(",;\t|"), rng.choice(".,")
    thousands = rng.choice([None, None, {".": ",", ",": "."}[decimal], " ", "'"])
    words = rng.choice([WORDS, ("none", "n/a"), ("",)])
    is_told = thousands is not None or rng.random() < 0.3
    said = Reading(
        encoding="cp1252" if encoding == "cp1252" else None,
        delimiter=delimiter if is_told else None,
        decimal=decimal if is_told else None,
        thousands=thousands,
        null_words=None if words == WORDS else words,
    )
    n = rng.choice([1, 2, 5, 20, 60])
    columns = {"who": [rng.choice(IDS) if rng.random() < 0.5 else f"p{rng.randrange(50)}" for _ in range(n)]}
    for name in rng.sample(NAMES, rng.randint(1, 6)):
        columns[name] = _column(rng, n, decimal, thousands, words)
    if decimal == "," and not is_told:  # without which nobody could tell
        columns["certain"] = ["12,5"] * n
    rows = [list(columns), *(list(row) for row in zip(*columns.values(), strict=True))]
    text = _text(rng, rows, delimiter, encoding)
    name = rng.choice(["t.csv", "T.CSV", "t.tsv", "t.txt", "t.csv.gz"])
    data = text.encode(encoding)
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return Written(folder / name, said, encoding, delimiter, decimal, thousands, words)


def _column(rng: Random, n: int, decimal: str, thousands: str | None, words: tuple[str, ...]) -> list[str]:
    kinds = {
        "int": _int,
        "float": _float,
        "date": _date,
        "stamp": _stamp,
        "zoned": _zoned,
        "text": lambda rng: rng.choice(TEXTS),
        "code": _code(rng.choice(CODES)),
    }
    kind = rng.choice(list(kinds))
    other = rng.choice(["int", "float", "text", kind])
    is_mixed, gaps = rng.random() < 0.2, rng.choice([0, 0.1, 0.5, 1])
    cells = []
    for _ in range(n):
        chosen = other if is_mixed and rng.random() < 0.2 else kind
        if rng.random() < gaps:
            cells.append(rng.choice(["", *words]))
        else:
            cell = kinds[chosen](rng)
            cells.append(_marked(rng, cell, decimal, thousands) if chosen in ("int", "float") else cell)
    return cells


def _code(form: str) -> Callable[[Random], str]:
    """Codes of one form: with leading zeros, too long for a number, or such as a careless reader takes for one."""

    def made(rng: Random) -> str:
        digits = str(rng.randrange(1, 10**6))
        forms = {"zeros": digits.zfill(7), "long": digits * 4, "power": f"{digits[:2]}E{digits[-1]}", "hex": f"0x{digits}"}
        return {**forms, "plus": f"+{digits}", "plain": digits}[form]

    return made


def _int(rng: Random) -> str:
    size = rng.choice([9, 10**6, 2**63 - 1])
    return str(rng.choice([rng.randint(-size, size)] * 4 + [2**63 - 1, -(2**63)]))


def _float(rng: Random) -> str:
    number = rng.choice([rng.uniform(-1e3, 1e3), rng.gauss(0, 1) * 10.0 ** rng.randint(-300, 300)])
    return rng.choice([repr(number), repr(number), "0.5", "3.0", ".5", "5.", "-0.0"])


def _marked(rng: Random, number: str, decimal: str, thousands: str | None) -> str:
    whole, point, rest = number.partition(".")
    if thousands and "e" not in whole and rng.random() < 0.5 and len(whole.lstrip("-")) <= 15:
        whole = f"{int(whole or '0'):,}".replace(",", thousands) if whole not in ("", "-0") else whole
    return whole + (decimal if point else "") + rest


def _date(rng: Random) -> str:
    return (date(1900, 1, 1) + timedelta(rng.randrange(60_000))).isoformat()


def _stamp(rng: Random) -> str:
    moment = datetime(1970, 1, 1) + timedelta(seconds=rng.randrange(10**9), microseconds=rng.choice([0, rng.randrange(10**6)]))
    return moment.isoformat(sep=rng.choice(" T"))


def _zoned(rng: Random) -> str:
    return _stamp(rng) + rng.choice(["Z", "+02:00", "-05:30"])


def _text(rng: Random, rows: list[list[str]], delimiter: str, encoding: str) -> str:
    newline, quotes_all = rng.choice(["\n", "\r\n", "\r"]), rng.random() < 0.3

    def cell(text: str) -> str:
        kept = text.encode(encoding, "ignore").decode(encoding)
        must = any(mark in kept for mark in (delimiter, '"', "\n", "\r"))
        return '"' + kept.replace('"', '""') + '"' if must or quotes_all or rng.random() < 0.05 else kept

    lines = []
    for row in rows:
        lines += [""] * (rng.random() < 0.05)
        lines.append(delimiter.join(map(cell, row)))
    return newline.join(lines) + rng.choice(["", newline, newline * 3])


def meant(written: Written) -> tuple[list[int], dict[str, list[object]]]:
    """The numbers of the rows, and what their cells mean by the rules, column by column."""
    data = written.path.read_bytes()
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode(written.encoding)
    records = [
        (row, cells) for row, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=written.delimiter), 1)
    ]
    (_, names), *rows = [(row, cells) for row, cells in records if any(cells)]
    columns = list(zip(*(cells for _row, cells in rows), strict=True))
    found: dict[str, list[object]] = {}
    for name, cells in zip(names, columns, strict=True):
        missing = {""} if name == "who" else {"", *written.words}
        present = [None if cell in missing else cell for cell in cells]
        found[name] = list(present) if name == "who" else values(present, written.decimal, written.thousands)
    return [row for row, _cells in rows], found


def values(cells: list[str | None], decimal: str, thousands: str | None) -> list[object]:
    """Cells as the first kind of value that all of them are."""
    for rule in (
        lambda cell: _as_int(cell, thousands),
        lambda cell: _as_float(cell, decimal, thousands),
        lambda cell: date.fromisoformat(_like(r"\d{4}-\d\d-\d\d", cell)),
        lambda cell: datetime.fromisoformat(_like(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?", cell)),
        lambda cell: datetime.fromisoformat(_like(r"\d{4}-\d\d-\d\d[ T].*(Z|[-+]\d\d:?\d\d)", cell)).astimezone(UTC),
    ):
        try:
            return [None if cell is None else rule(cell) for cell in cells]
        except ValueError:
            continue
    return list(cells)


def _like(pattern: str, cell: str) -> str:
    if not re.fullmatch(pattern, cell, re.ASCII):
        raise ValueError
    return cell


def _whole(cell: str, thousands: str | None) -> str:
    digits = cell.removeprefix("-")
    if thousands and thousands in digits:
        first, *groups = digits.split(thousands)
        if not (1 <= len(first) <= 3 and 1 <= len(groups) <= 4 and all(len(group) == 3 for group in groups)):
            raise ValueError
        digits = "".join([first, *groups])
    if not re.fullmatch("0|[1-9][0-9]*", digits) or (digits == "0" and len(cell.removeprefix("-")) > 1):
        raise ValueError
    return ("-" if cell.startswith("-") else "") + digits


def _as_int(cell: str, thousands: str | None) -> int:
    number = int(_whole(cell, thousands))
    if not -(2**63) <= number < 2**63:
        raise ValueError
    return number


def _as_float(cell: str, decimal: str, thousands: str | None) -> float:
    mantissa, exponent, power = cell.replace("E", "e").partition("e")
    whole, mark, fraction = mantissa.partition(decimal)
    if exponent:
        _like("[-+]?[0-9]+" if mark else "[-+][0-9]+", power)
    if mark:
        _like("[0-9]*" if whole.removeprefix("-") else "[0-9]+", fraction)
    sign, digits = ("-" if whole.startswith("-") else ""), whole.removeprefix("-")
    digits = _whole(digits, thousands) if digits or not mark else "0"
    if not mark and not exponent and len(digits) > 15:
        raise ValueError
    number = float(f"{sign}{digits}.{fraction or '0'}e{power or '0'}")
    if number in (float("inf"), float("-inf")):
        raise ValueError
    return number
