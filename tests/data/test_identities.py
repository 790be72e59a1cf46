"""Ids: what is one id, what are two, and what is none; lists of them, and forms that are near."""

import decimal
import hmac
import unicodedata
import uuid
from contextlib import suppress
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.data.identities import subject_texts, texts_of
from expunge.data.lists import Unclear, read_list
from expunge.data.near import near_forms
from expunge.data.pseudonyms import Identification, SubjectKey
from expunge.errors import InvalidRows, WorkspaceInvalid
from expunge.identities import CASELESS, EXACT, FIRST, INVISIBLE, LENGTH, WHITE_SPACE, Rule, canonical

DIFFERENT = [
    *("7", "007", "00007", "7.0", "+7", "0x1F", "31", "12E4", "120000", "NA", "Null", "null", "nan", "NaN", "TRUE", "True"),
    *("1234567890123456789012", "1234567890123456789013", "a b", "a  b", "ab", "Ab", 'say "hi"', "a,b", "a;b", "a\nb", "a\tb"),
    *("\N{OK HAND SIGN}", "\N{OK HAND SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}", "\u05d0", "\uff17", "'", "-", "é", "e"),
]
"""Each is somebody else."""
SAME = [
    ("Ren\N{LATIN SMALL LETTER E WITH ACUTE}", "Rene\N{COMBINING ACUTE ACCENT}"),
    ("x", " x\N{NO-BREAK SPACE}\n"),
    ("xy", "\ufeffx\u200by\u00ad"),
    ("\u05d0", "\u200f\u05d0\u200e"),
    ("\N{HEAVY BLACK HEART}", "\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16}"),
]


def test_ids_are_what_they_are():
    assert len({canonical(text) for text in DIFFERENT}) == len(DIFFERENT)
    assert all(canonical(text) == text for text in DIFFERENT)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_nobody_can_see_is_left_out(one, other):
    assert canonical(one) == canonical(other) == one


@pytest.mark.parametrize("bad", ["a\0b", "a\x1bb", "\x7f", "a\x85b\x9f", "\ud800", "x" * (LENGTH + 1)])
def test_what_is_no_id_is_refused_and_not_quoted(bad):
    with pytest.raises(ValueError, match=r"an id (holds a control|has 1,001)") as found:
        canonical(bad)
    assert repr(bad)[1:-1] not in str(found.value)


@given(st.text(max_size=20), st.sampled_from([EXACT, CASELESS]))
def test_a_form_is_its_own_form(text, rule):
    try:
        form = canonical(text, rule)
    except ValueError:
        return
    assert canonical(form, rule) == form
    for other in (f"\u200b{text} ", unicodedata.normalize("NFD", text), unicodedata.normalize("NFC", text)):
        assert canonical(other, rule) == form


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1), st.text(max_size=9))
def test_the_rule_merges_nothing_that_can_be_told_apart(one, other):
    def told(text):
        """An independent reading of the rule."""
        hidden = {chr(code) for first, last in INVISIBLE for code in range(first, last + 1)}
        seen = unicodedata.normalize("NFC", "".join(letter for letter in text if letter not in hidden))
        while seen and seen[0] in WHITE_SPACE:
            seen = seen[1:]
        while seen and seen[-1] in WHITE_SPACE:
            seen = seen[:-1]
        return seen

    with suppress(ValueError):
        assert (canonical(one) == canonical(other)) == (told(one) == told(other))


def test_case_is_ignored_only_where_that_was_declared():
    assert canonical("ANN") != canonical("ann") and canonical("ANN", CASELESS) == canonical("ann", CASELESS)
    assert canonical("Straße", CASELESS) == canonical("STRASSE", CASELESS)
    assert [Rule.named(str(rule)) for rule in (FIRST, EXACT, CASELESS)] == [FIRST, EXACT, CASELESS]


class TestColumns:
    @pytest.mark.parametrize(
        ("column", "texts"),
        [
            (pa.array(["007", " x", "NA"]), ["007", " x", "NA"]),
            (pa.array(["007", "x"], pa.large_string()), ["007", "x"]),
            (pa.array(["007", "x", "007"]).dictionary_encode(), ["007", "x", "007"]),
            (pa.chunked_array([["a"], ["b"]]), ["a", "b"]),
            (pa.array([7, -1], pa.int8()), ["7", "-1"]),
            (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
            (np.array([7, 8]), ["7", "8"]),
            (["a", np.str_("b"), 7, np.int64(8), 10**30], ["a", "b", "7", "8", str(10**30)]),
            ([uuid.UUID(int=7)], ["00000000-0000-0000-0000-000000000007"]),
        ],
        ids=str,
    )
    def test_texts_and_whole_numbers(self, column, texts):
        assert subject_texts(column, "who") == texts

    @pytest.mark.parametrize(
        "column",
        [
            pa.array([1.0, 2.0]),
            pa.array([decimal.Decimal("1.0")]),
            pa.array([datetime(2020, 1, 1, tzinfo=UTC)]),
            pa.array([date(2020, 1, 1)]),
            pa.array([True]),
            pa.array([b"x"]),
            pa.array([["x"]]),
            pa.array([{"a": 1}]),
            pa.array([1.5]).dictionary_encode(),
            np.array([1.0]),
            [1.0],
            [True],
            [b"x"],
            [decimal.Decimal(1)],
            [date(2020, 1, 1)],
        ],
        ids=str,
    )
    def test_what_may_have_lost_digits_is_refused_by_name(self, column):
        with pytest.raises(InvalidRows, match=r"column 'who' holds .* save the column as text, or as whole numbers"):
            subject_texts(column, "who")

    @pytest.mark.parametrize(
        "column", [pa.array(["a", None]), pa.array(["a", ""]), ["a", " \u200b"], ["a", None], [7, float("nan")]]
    )
    def test_nobody_is_an_error_that_names_the_row(self, column):
        with pytest.raises(InvalidRows, match="row 11 has no subject"):
            subject_texts(column, "who", [7, 11])
        assert texts_of(column, "who")[1] is None

    def test_what_is_no_id_names_the_row(self):
        with pytest.raises(InvalidRows, match=r"row 1, column 'who': an id holds a control character"):
            subject_texts(["a", "b\0"], "who")


class TestKey:
    @pytest.mark.parametrize(("alias", "kind"), [(None, "subject"), ("device", "alias\0device")])
    def test_each_pseudonym_is_the_keyed_hash_of_its_id_alone(self, alias, kind):
        key = SubjectKey(bytes(range(32)))
        expected = {text: hmac.digest(key.secret, f"{kind}\0{text}".encode(), "sha256").hex()[:32] for text in DIFFERENT}
        assert key.present(DIFFERENT, alias) == expected
        assert [key.pseudonym(text, alias) for text in DIFFERENT] == list(expected.values())
        assert Identification(key, "id").pseudonyms([*DIFFERENT, "7"], alias) == [*expected.values(), expected["7"]]

    def test_its_file_says_the_rule(self, tmp_path):
        made = SubjectKey.create(tmp_path / "key", CASELESS)
        assert (tmp_path / "key").read_text().splitlines()[1:] == ["ids by rule 2 ignoring case"]
        assert SubjectKey.load(tmp_path / "key") == made

    def test_another_rule_is_another_fingerprint(self, tmp_path):
        made = SubjectKey.create(tmp_path / "key")
        (tmp_path / "key").write_text((tmp_path / "key").read_text() + "ids by rule 2 ignoring case\n")
        assert SubjectKey.load(tmp_path / "key").fingerprint() != made.fingerprint()

    @pytest.mark.parametrize("line", ["ids by rule 3", "nonsense", "ids by rule 2 ignoring"])
    def test_a_rule_that_is_not_known_is_damage(self, tmp_path, line):
        SubjectKey.create(tmp_path / "key")
        (tmp_path / "key").write_text((tmp_path / "key").read_text() + f"{line}\n")
        with pytest.raises(WorkspaceInvalid, match="damaged"):
            SubjectKey.load(tmp_path / "key")

    def test_a_file_without_a_rule_is_of_the_first(self, tmp_path):
        (tmp_path / "key").write_text(bytes(32).hex() + "\n")
        old = SubjectKey.load(tmp_path / "key")
        assert old.rules == (FIRST,) and old.renewed().rules == (FIRST, EXACT) and old.renewed().renewed() == old.renewed()
        assert old.pseudonym("Rene\u0301") in old.renewed().pseudonyms("Ren\xe9")
        assert old.pseudonym("x") == old.renewed().pseudonym("x")

    def test_an_earlier_pseudonym_that_stands_for_somebody_is_used(self):
        old = SubjectKey(bytes(32), (FIRST,))
        taken = {old.pseudonym("Rene\u0301")}
        who = Identification(old.renewed(), "who", taken=lambda tags: taken & set(tags))
        assert who.pseudonyms(["Ren\xe9", "b"]) == [old.pseudonym("Rene\u0301"), old.renewed().pseudonym("b")]

    def test_a_column_is_part_of_an_alias(self):
        key = SubjectKey(bytes(32))
        assert len({key.pseudonym("7"), key.pseudonym("7", "mail"), key.pseudonym("7", "device")}) == 3


class TestNear:
    @pytest.mark.parametrize(
        ("kind", "one", "other"),
        [
            ("case", "ann", "ANN"),
            ("case", "ANN LEE", "Ann Lee"),
            ("zeros", "7", "00007"),
            ("zeros", "00007", "7"),
            ("zeros", "C-07", "C-7"),
            ("notation", "12E4", "120000"),
            ("notation", "120000", "1.2E+05"),
            ("notation", "0x1F", "31"),
            ("notation", "7.0", "7"),
            ("notation", "7", "7.0"),
            ("notation", "1,234", "1234"),
            ("spaces", "a b", "ab"),
            ("separators", "12-34-56", "123456"),
            ("separators", "ann.lee", "ann-lee"),
            ("unicode", "\uff17", "7"),
        ],
    )
    def test_forms_in_which_ids_are_spoilt(self, kind, one, other):
        assert (kind, other) in near_forms(one) or other in [form for _kind, form in near_forms(one)]

    @given(st.text(max_size=30))
    def test_an_id_is_not_near_itself(self, text):
        try:
            own = canonical(text)
        except ValueError:
            return
        forms = [form for _kind, form in near_forms(text)]
        assert own not in forms and len(forms) == len(set(forms)) < 60


class TestLists:
    def test_one_id_a_line(self):
        found = read_list("a b \r\n\r\n007\n\u05d0".encode(), ["who"])
        assert (found.ids, found.lines, found.heading) == (("a b ", "007", "\u05d0"), (1, 3, 4), None)
        assert "the first line was taken for an id" in found.understood

    @pytest.mark.parametrize("first", ["who", "Who", "\ufeffwho "])
    def test_a_first_line_that_names_a_column_of_ids_is_a_heading(self, first):
        found = read_list(f"{first}\n7\n".encode(), ["who", "mail"])
        assert (found.ids, found.lines, found.by) == (("7",), (2,), "who") and "taken for a heading" in found.understood
        assert read_list(f"{first}\n7\n".encode(), ["who"], headed=False).lines == (1, 2)

    def test_any_other_first_line_is_an_id_however_it_looks(self):
        assert read_list(b"customer\n7\n", ["who"]).ids == ("customer", "7")
        assert read_list(b"customer\n7\n", ["who"], headed=True).ids == ("7",)

    @pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
    def test_a_table_with_a_known_column(self, sign):
        content = f'name{sign}who\n"An{sign}n"{sign}"a\nb"\nBob{sign}007\n'.encode()
        found = read_list(content, ["who"], table=True)
        assert (found.ids, found.lines, found.by) == (("a\nb", "007"), (2, 4), "who")

    def test_a_table_whose_column_nobody_knows_is_refused(self):
        content = b"name,number\nAnn,7\n"
        with pytest.raises(Unclear, match="2 columns"):
            read_list(content, ["who"], table=True)
        assert read_list(content, ["who"], table=True, column="number").ids == ("7",)
        assert read_list(content, ["who"], table=True, headed=False).ids == ("name", "Ann")
        with pytest.raises(ValueError, match="names 0 columns 'none'"):
            read_list(content, ["who"], table=True, column="none")

    @pytest.mark.parametrize(("content", "said"), [(b"\xff\xfe", "not UTF-8"), (b'a\n"b" c\n', "line 2 is not CSV")])
    def test_what_cannot_be_read(self, content, said):
        with pytest.raises(ValueError, match=said):
            read_list(content, ["who"], table=True)

    def test_an_id_that_is_none_is_not_left_out(self):
        assert read_list(b"a\nb\0c\n", ["who"]).ids == ("a", "b\0c")
