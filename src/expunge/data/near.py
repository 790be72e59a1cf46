"""Near forms: other ways to write an id that nobody has, so that the person who asks is told what to check.

Ids are kept nowhere, so they cannot be searched for similar ones: the forms in which ids are usually garbled are made, and
looked up one by one. No id is taken for another because of this; only a person may decide that.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

from expunge.identities import canonical

Likeness = Literal["case", "zeros", "spaces", "separators", "notation", "unicode"]
MEANING: dict[Likeness, str] = {
    "case": "the same letters in a different case",
    "zeros": "the same digits with a different number of leading zeros",
    "spaces": "the same characters with different spaces",
    "separators": "the same letters and digits with different separators",
    "notation": "the same number, written in another way",
    "unicode": "letters that look the same, in another Unicode form",
}
ZEROS = 12
"""Number of leading zeros that may be missing."""
DIGITS = 40
"""Largest number of digits of a number that was written in another way."""


def near_forms(text: str) -> list[tuple[Likeness, str]]:
    """What ``text`` may have been before it was garbled; each form once, and not ``text`` itself.

    Examples:
        >>> ("notation", "120000") in near_forms("12E4")
        True
    """
    own, found = canonical(text), dict[str, Likeness]()
    for kind, form in _forms(own):
        if form.strip() and form != own:
            found.setdefault(form, kind)
    return [(kind, form) for form, kind in found.items()]


def _forms(text: str) -> Iterator[tuple[Likeness, str]]:
    for form in (text.lower(), text.upper(), text.capitalize(), text.title(), text.casefold(), text.swapcase()):
        yield "case", form
    if match := re.fullmatch(r"([^0-9]*)0*([0-9]+)", text):
        prefix, digits = match.groups()
        for zeros in range(ZEROS + 1):
            yield "zeros", f"{prefix}{'0' * zeros}{digits}"
    yield "spaces", re.sub(r"\s+", "", text)
    yield "spaces", re.sub(r"\s+", " ", text)
    joined = re.sub(r"[\s\-./,_'’:]+", "", text)
    for sign in ("", "-", " ", ".", "/", "_"):
        yield "separators", re.sub(r"[\s\-./,_'’:]+", sign, text)
    yield from (("notation", form) for form in _numbers(text, joined))
    yield "unicode", unicodedata.normalize("NFKC", text)


def _numbers(text: str, joined: str) -> Iterator[str]:
    """The number in ``text``, as spreadsheets and programs write it."""
    whole: int | None = None
    if match := re.fullmatch(r"([0-9]+)(?:\.([0-9]*))?(?:[eE]\+?([0-9]{1,3}))?", text):
        before, after, power = match[1], match[2] or "", int(match[3] or 0)
        after = after.rstrip("0")
        if len(after) <= power <= DIGITS and len(before) <= DIGITS:
            whole = int(before + after) * 10 ** (power - len(after))
    elif re.fullmatch(r"0[xX][0-9a-fA-F]{1,32}", text):
        whole = int(text, 16)
    elif re.fullmatch(r"[0-9]{1,40}", joined):
        whole = int(joined)
    if whole is None:
        return
    digits = str(whole)
    yield from (digits, f"{digits}.0", f"{whole:,}", f"{whole:,}".replace(",", "."), hex(whole), f"{hex(whole)[:2]}{whole:X}")
    mantissa = digits.rstrip("0")
    if whole and len(mantissa) < len(digits):
        power = len(digits) - len(mantissa)
        yield from (f"{mantissa}E{power}", f"{mantissa}e{power}")
    if whole and len(digits) > 1:
        shown = f"{digits[0]}.{mantissa[1:]}" if len(mantissa) > 1 else digits[0]
        yield from (f"{shown}E+{len(digits) - 1:02}", f"{shown}e+{len(digits) - 1:02}")
