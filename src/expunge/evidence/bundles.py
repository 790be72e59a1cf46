"""Bundles: a certificate with its place in the signed log, and the whole log, checked offline."""

from collections.abc import Mapping
from typing import Any

from expunge.errors import SignatureInvalid
from expunge.evidence.checks import Passed, untold
from expunge.evidence.events import EventKind
from expunge.evidence.heads import signed_head
from expunge.evidence.proofs import require_included, root_of
from expunge.evidence.signing import PublicKeys
from expunge.evidence.statements import CERTIFICATE, Statement, digest, parsed, require_members


def verify_bundle(content: Mapping[str, Any], keys: PublicKeys, passed: Passed = untold) -> Statement:
    """The claims of a certificate bundle, if its signature, its event and its place in the log all hold.

    Args:
        content: content of the file.
        keys: the trusted public keys.
        passed: told of each check that passed. Default: nobody.

    Raises:
        SignatureInvalid: a part was altered, is missing, or is not signed by ``keys``.
    """
    parts = {"expunge": str, "certificate": str, "event": str, "proof": dict, "checkpoint": str}
    given = require_members(content, parts)
    statement = keys.verified(given["certificate"], CERTIFICATE)
    passed("it is signed with one of the keys, and not a byte of what was signed was altered")
    head = signed_head(given["checkpoint"], keys)
    passed(f"the head of the log in it, over {head.size:,} events, is signed too")
    try:
        seq = require_included(given["event"], given["proof"], head.root, head.size)
    except SignatureInvalid as error:
        raise SignatureInvalid("the certificate is not in the log that was signed, or its proof was altered") from error
    passed(f"the event that records it, number {seq:,}, is in that log")
    entry = parsed(given["event"])
    claimed = (EventKind.RELEASE_CERTIFIED, seq, digest(given["certificate"]))
    if not isinstance(entry, dict) or tuple(entry.get(name) for name in ("kind", "seq", "certificate")) != claimed:
        raise SignatureInvalid("the event in the log is about another certificate")
    passed("the event is about this certificate and no other")
    keys.require_in_time(given["certificate"], seq)
    passed("the key was in use when it was signed")
    return statement


def verify_export(content: Mapping[str, Any], keys: PublicKeys, passed: Passed = untold) -> int:
    """Number of events in an exported log, if none is altered, missing or moved.

    Args:
        content: content of the file.
        keys: the trusted public keys.
        passed: told of each check that passed. Default: nobody.

    Raises:
        SignatureInvalid: the events do not add up to the signed checkpoint.
    """
    given = require_members(content, {"expunge": str, "events": list, "checkpoint": str})
    head, entries = signed_head(given["checkpoint"], keys), given["events"]
    passed(f"the head of the log, over {head.size:,} events, is signed with one of the keys")
    is_text = all(isinstance(entry, str) for entry in entries)
    if not is_text or len(entries) != head.size or root_of(entries) != head.root:
        raise SignatureInvalid("the events are not those that were signed: one was altered, dropped, added or moved")
    passed("the events are exactly those that were signed: none was altered, left out, added or moved")
    return head.size
