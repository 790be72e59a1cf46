"""Verifying for anybody: files that somebody brings, each with the checks that it passed. Nothing of them is kept or logged."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from expunge.errors import NotShown, SignatureInvalid
from expunge.evidence.heads import MEANING, Witness, relation
from expunge.evidence.signing import PublicKeys
from expunge.evidence.statements import parsed, predicate_of
from expunge.evidence.verification import kind_of, verify_content, witness_in
from expunge.service.problem_types import Problem

FILES = 20
"""Number of files in one call."""
AT_ONCE = 4
"""Number of calls that are worked at once: anybody may call, and others are to be served meanwhile."""
HEADS = ("checkpoint", "log")
"""Kinds of files that are compared with each other where there are two."""
GOOD = ("continues", "the same")
_turns = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True)
class GivenFile:
    """A file that somebody brought."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Finding:
    """What was found out about a file, or about two that were compared.

    Args:
        names: names of the files.
        kind: what it is; ``None`` for something that Expunge does not write.
        is_genuine: whether not a byte of what was signed was altered.
        passed: the checks that passed, in the order in which they were made.
        problem: the check that failed; after it none was made.
        claims: what it says; empty unless it is genuine.
    """

    names: tuple[str, ...]
    kind: str | None
    is_genuine: bool
    passed: tuple[str, ...] = ()
    problem: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_right(self) -> bool:
        """Whether every check passed."""
        return self.is_genuine and self.problem is None


def examined(given: Sequence[GivenFile], keys: PublicKeys, subject: str | None = None) -> list[Finding]:
    """What is found out about each file, and about two states of the log among them.

    Args:
        given: the files.
        keys: the trusted public keys.
        subject: the id for which receipts should be; ``None`` if nobody asks.

    Raises:
        Problem: 422, there are no files or too many; 429, too many are calling at once.
    """
    if not given:
        raise Problem("invalid-request", "there is no file to check: give at least one")
    if len(given) > FILES:
        raise Problem("invalid-request", f"there are {len(given)} files: check at most {FILES} at once")
    with _turn():
        texts = {file.name: _text(file) for file in given}
        kinds = {name: kind_of(text) for name, text in texts.items()}
        receipts = {_request_of(texts[name]): texts[name] for name, kind in kinds.items() if kind == "receipt"}
        found = [_examined(name, texts[name], kinds[name], keys, subject, receipts) for name in texts]
        heads = [each.names[0] for each in found if each.is_right and each.kind in HEADS]
        if len(heads) == 2:
            found.append(_compared({name: witness_in(texts[name], keys) for name in heads}))
        return found


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(blocking=False):
        raise Problem("too-many-requests", "others are checking files: try again in a moment", headers={"Retry-After": "2"})
    try:
        yield
    finally:
        _turns.release()


def _text(file: GivenFile) -> str:
    try:
        return file.content.decode()
    except UnicodeDecodeError:
        return ""  # like everything that is no file of Expunge


def _request_of(receipt: str) -> str:
    """The request that a receipt names; nothing of it is checked."""
    try:
        return str(predicate_of(parsed(receipt)["envelope"]).get("request"))
    except (ValueError, KeyError, TypeError, SignatureInvalid):
        return ""


def _examined(
    name: str, text: str, kind: str | None, keys: PublicKeys, subject: str | None, receipts: Mapping[str, str]
) -> Finding:
    receipt = _receipt_for(text, receipts) if kind == "certificate" else None
    asked = subject if kind == "receipt" or receipt is not None else None
    passed: list[str] = []
    try:
        proven = verify_content(text, keys, asked, receipt, passed.append)
    except NotShown as error:
        return Finding((name,), kind, True, tuple(passed), str(error))
    except SignatureInvalid as error:
        return Finding((name,), kind, False, tuple(passed), str(error))
    claims = {key: value for key, value in vars(proven).items() if value is not None and key not in ("kind", "of_subject")}
    return Finding((name,), kind, True, tuple(passed), None, claims)


def _receipt_for(certificate: str, receipts: Mapping[str, str]) -> str | None:
    """The receipt among those brought that a certificate should answer; the only one where it does not say which."""
    covers = parsed(certificate).get("covers")
    if not isinstance(covers, dict):
        return next(iter(receipts.values())) if len(receipts) == 1 else None
    return receipts.get(str(covers.get("request"))) or (next(iter(receipts.values())) if len(receipts) == 1 else None)


def _compared(heads: Mapping[str, Witness]) -> Finding:
    """Whether the longer of two logs continues the shorter."""
    names = tuple(sorted(heads, key=lambda name: heads[name].head.size))
    answer = relation(heads[names[0]], heads[names[1]])
    claims = {"relation": answer, "earlier": heads[names[0]].head.size, "later": heads[names[1]].head.size}
    if answer in GOOD:
        return Finding(names, "comparison", True, (MEANING[answer],), None, claims)
    return Finding(names, "comparison", answer != "split view", (), MEANING[answer], claims)
