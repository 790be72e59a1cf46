"""Verification of files offline: certificate, receipt or log, with nothing but the public keys."""

import json
from pathlib import Path
from typing import Any

from expunge.errors import SignatureInvalid
from expunge.ledger.log import verify_bundle, verify_export
from expunge.ledger.receipts import verify_receipt
from expunge.ledger.signing import PublicKeys, canonical


def verify_file(path: Path, keys: PublicKeys, subject: str | None = None) -> dict[str, Any]:
    """What the file at ``path`` proves, in a few facts.

    Args:
        subject: of a receipt, the id it should be of.

    Raises:
        SignatureInvalid: any byte of it is not what was signed, or it is none of the three.
        FileNotFoundError: there is no such file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SignatureInvalid(f"it is not text: {error}") from error
    return verify_content(text, keys, subject)


def verify_content(text: str, keys: PublicKeys, subject: str | None = None) -> dict[str, Any]:
    """The same of a file's content.

    Raises:
        SignatureInvalid: as ``verify_file``.
    """
    try:
        content = json.loads(text)
        is_canonical = canonical(content) == text.rstrip("\n")
    except ValueError as error:
        raise SignatureInvalid(f"it is not JSON: {error}") from error
    if not isinstance(content, dict) or not is_canonical:
        raise SignatureInvalid("it is not in the form that this package writes: it was altered, or is something else")
    names = {
        "certificate": {"expunge", "certificate", "event", "proof", "checkpoint"},
        "receipt": {"expunge", "envelope"},
        "log": {"expunge", "events", "checkpoint"},
    }
    kind = content.get("expunge")
    if kind not in names or set(content) != names[kind]:
        raise SignatureInvalid("it is neither a certificate nor a receipt nor a log of this package")
    if kind == "certificate":
        statement = verify_bundle(content, keys)
        predicate = statement["predicate"]
        shown = ("model", "release", "issued", "epsilon", "delta", "sigma")
        return {"kind": kind, **{name: predicate[name] for name in shown}, "subject": statement["subject"]}
    if kind == "receipt":
        predicate = verify_receipt(content, keys, subject)
        return {"kind": kind, "request": predicate["request"], "received": predicate["received"], "of_subject": subject}
    return {"kind": kind, "events": verify_export(content, keys)}
