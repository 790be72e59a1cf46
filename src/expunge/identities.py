"""Identities: the one form in which a subject id is compared, however it came in.

An id is text, and what it says is what it is: ``00007`` is not ``7``, ``12E4`` is not a number, ``NA`` is an id. Only what
nobody can see is left out: the Unicode form in which a letter is written (NFC), white space around it, and characters without a
width. Letters that differ in case differ, unless a workspace was made to ignore it.

The form is a rule with a number, which the file of the subject key names. Ids are kept nowhere, so that a pseudonym cannot be
made anew when the rule changes: earlier rules stay in force beside the present one, and an id is looked for under each.
"""

import unicodedata
from dataclasses import dataclass

WHITE_SPACE = "".join(
    map(chr, [*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000])
)
"""Unicode's white space, which is left out around an id; inside of one it stays."""
INVISIBLE = (
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
"""First and last of the characters that Unicode calls default-ignorable: the soft hyphen, zero-width spaces and joiners, marks
of direction, variation selectors, the byte order mark and so on. They are left out wherever they are."""
LENGTH = 1000
"""Characters that an id may have."""
_NOTHING = dict.fromkeys(code for first, last in INVISIBLE for code in range(first, last + 1))
_CONTROLS = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} - set(WHITE_SPACE)


@dataclass(frozen=True)
class Rule:
    """How ids are compared.

    Args:
        version: 1, as written but for white space around it; 2, as this module says.
        ignores_case: whether letters that differ in case are the same.
    """

    version: int = 2
    ignores_case: bool = False

    def __str__(self) -> str:
        return f"{self.version} ignoring case" if self.ignores_case else str(self.version)

    @classmethod
    def named(cls, text: str) -> "Rule":
        """The rule that ``str`` wrote.

        Raises:
            ValueError: there is none of this name.
        """
        for rule in (FIRST, EXACT, CASELESS):
            if str(rule) == text:
                return rule
        raise ValueError(f"there is no rule {text!r}")

    @property
    def newest(self) -> "Rule":
        """The rule that takes the place of this one."""
        return CASELESS if self.ignores_case else EXACT


FIRST, EXACT, CASELESS = Rule(1), Rule(2), Rule(2, ignores_case=True)


def canonical(text: str, rule: Rule = EXACT) -> str:
    """The form of an id that is compared; doing it twice is doing it once.

    Raises:
        ValueError: it holds what no id holds (a control character, half a surrogate pair), or is too long. The message does
            not quote it.

    Examples:
        >>> canonical(" 00007\u200b "), canonical("Cafe\u0301") == "Caf\xe9", canonical("Ann", CASELESS)
        ('00007', True, 'ann')
    """
    if rule.version == 1:
        kept = text.strip()
    elif text.isascii() and text.isprintable() and not rule.ignores_case:  # as most ids are: nothing of them is left out
        kept = text.strip(" ")
    else:
        seen = text if text.isascii() else unicodedata.normalize("NFC", text.translate(_NOTHING))
        kept = seen.strip(WHITE_SPACE)
    if rule.ignores_case:
        kept = unicodedata.normalize("NFC", unicodedata.normalize("NFD", kept).casefold()).strip(WHITE_SPACE)
    if not kept.isprintable() and any(letter in _CONTROLS or "\ud800" <= letter <= "\udfff" for letter in kept):
        raise ValueError("an id holds a control character, or half a character: write it without")
    if len(kept) > LENGTH:
        raise ValueError(f"an id has {len(kept):,} characters, at most {LENGTH:,} are possible: give a shorter one")
    return kept


def spellings(text: str, rule: Rule) -> list[str]:
    """What somebody who writes ``text`` today may have been called under an earlier ``rule``."""
    today = canonical(text)
    written = [text, today, unicodedata.normalize("NFD", today)]
    return list(dict.fromkeys(found for each in written if (found := canonical(each, rule))))
