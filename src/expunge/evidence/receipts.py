"""Receipts: the requester's proof that a request was made; the ledger keeps only a commitment to it.

The receipt holds a secret salt; the ledger keeps SHA-256(salt, request, subject). Anybody who has the receipt and knows the
subject can prove the request; the ledger alone reveals no subject. The salt follows from the request and the subject key,
which is not in the ledger: a lost receipt can be made again for somebody who knows the subject.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from expunge import identities
from expunge.errors import NotShown, SignatureInvalid
from expunge.evidence.checks import Passed, untold
from expunge.evidence.signing import PublicKeys, SigningKey
from expunge.evidence.statements import RECEIPT, canonical, require_members


@dataclass(frozen=True)
class Receipt:
    """What the requester is given, signed; ``document`` is the file.

    Args:
        request: id of the request.
        commitment: the commitment that the ledger keeps.
        document: canonical JSON.
    """

    request: str
    commitment: str
    document: str = field(repr=False)

    @classmethod
    def issue(cls, key: SigningKey, salt: str, request: str, subject: str, details: Mapping[str, Any]) -> "Receipt":
        """A receipt for the ``request`` of ``subject``; ``details`` are added as they are."""
        commitment = committed(salt, request, subject)
        predicate = {"request": request, "salt": salt, "commitment": commitment, **details}
        envelope = key.sign(RECEIPT, {f"request/{request}": commitment}, predicate)
        return cls(request, commitment, canonical({"expunge": "receipt", "envelope": envelope}))


def committed(salt: str, name: str, value: str) -> str:
    """A commitment to the ``value`` of ``name`` (the subject of a request, say): SHA-256 over the parts with their lengths."""
    parts = (part.encode() for part in (salt, name, value))
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()


def verify_receipt(
    content: Mapping[str, Any], keys: PublicKeys, subject: str | None = None, passed: Passed = untold
) -> Mapping[str, Any]:
    """The content of a receipt; if ``subject`` is given, only if it is that subject's, by the rule of ids that it names.

    Args:
        content: content of the file.
        keys: the trusted public keys.
        subject: the id that it should be for. Default: not asked.
        passed: told of each check that passed. Default: nobody.

    Raises:
        SignatureInvalid: it was altered, is not signed by ``keys``, or has another subject.
    """
    envelope = require_members(content, {"expunge": str, "envelope": str})["envelope"]
    if content["expunge"] != "receipt":
        raise SignatureInvalid("this is not a receipt")
    predicate = keys.verified(envelope, RECEIPT).predicate
    if not all(isinstance(predicate.get(name), str) for name in ("request", "salt", "commitment", "received", "ids")):
        raise SignatureInvalid("this is not a receipt in the form that this package signs")
    passed("it is signed with one of the keys, and not a byte of what was signed was altered")
    keys.require_unrevoked(envelope)
    passed("the key was not revoked")
    if subject is not None and not _is_of(predicate, subject):
        raise NotShown("the receipt is genuine, but it is not for this subject")
    if subject is not None:
        passed("it is for the id that you gave")
    return predicate


def _is_of(predicate: Mapping[str, Any], subject: str) -> bool:
    try:
        form = identities.canonical(subject, identities.Rule.named(predicate["ids"]))
    except ValueError:  # not an id, or a rule of a later version
        return False
    return committed(predicate["salt"], predicate["request"], form) == str(predicate["commitment"])
