"""Statements: what is signed, as canonical JSON, so that a file is either exactly what was signed or refused."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.errors import SignatureInvalid

STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD = "application/vnd.in-toto+json"
CERTIFICATE = "urn:expunge:certificate:v1"
TRANSCRIPT = "urn:expunge:transcript:v1"
RECEIPT = "urn:expunge:receipt:v1"
CHECKPOINT = "urn:expunge:checkpoint:v1"
ROTATION = "urn:expunge:rotation:v1"
SCHEMA_PRIVACY = "schema_privacy"
"""The member of a certificate that has the epsilon and delta of a privately proposed schema."""


@dataclass(frozen=True)
class Statement:
    """What was signed: ``predicate``, about ``subject``, a list of names with their digests (in-toto)."""

    subject: Sequence[Mapping[str, Any]]
    predicate: Mapping[str, Any]


def canonical(value: Any) -> str:
    """``value`` as JSON, in the only form that is signed and hashed.

    Examples:
        >>> canonical({"b": 1, "a": "é"})
        '{"a":"é","b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parsed(text: str) -> Any:
    """The value that ``canonical`` wrote as ``text``.

    Raises:
        SignatureInvalid: it was not written that way: not JSON, a repeated member, NaN, an extra space, too deeply nested.
    """
    try:
        text.encode()
        value = json.loads(text)
        is_canonical = canonical(value) == text
    except (ValueError, RecursionError) as error:
        raise SignatureInvalid(
            "it is not JSON that this package writes: it was cut off or altered, or is something else"
        ) from error
    if not is_canonical:
        raise SignatureInvalid("it is not in the form that this package writes: it was altered, or is something else")
    return value


def require_members(value: Any, types: Mapping[str, type]) -> dict[str, Any]:
    """``value``, if it is an object with exactly the members ``types``, each of its type.

    Raises:
        SignatureInvalid: it is not; the message names the member.
    """
    if not isinstance(value, dict):
        raise SignatureInvalid("it was altered, or is something else: a part of it is not an object")
    for name in sorted({*value, *types}):
        if name not in types or name not in value or type(value[name]) is not types[name]:
            raise SignatureInvalid(f"it was altered, or is something else: member {name[:40]!r} is not as it should be")
    return value


def digest(text: str | bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def predicate_of(envelope: str) -> Mapping[str, Any]:
    """The content of an ``envelope``; its signature is not checked."""
    return dict(json.loads(base64.b64decode(json.loads(envelope)["payload"]))["predicate"])
