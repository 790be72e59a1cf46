"""Signatures: Ed25519 over DSSE envelopes that hold in-toto Statements, and the public keys that check them."""

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._crypto_signer import CryptoSigner
from securesystemslib.signer._key import SSlibKey

from expunge.errors import SignatureInvalid, WorkspaceInvalid
from expunge.evidence.statements import PAYLOAD, ROTATION, STATEMENT, Statement, canonical, digest, parsed, require_members
from expunge.files import write_file

ADVICE = "give the expunge.pub of the workspace"
PEM_BEGIN, PEM_END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"


@dataclass(frozen=True)
class SigningKey:
    """The private key with which a workspace signs.

    Args:
        signer: the object that signs.
        pem: the public key.
    """

    signer: CryptoSigner = field(repr=False)
    pem: str

    @property
    def keyid(self) -> str:
        """The name of the key: SHA-256 of its public half."""
        return str(self.signer.public_key.keyid)

    @classmethod
    def create(cls, folder: Path) -> "SigningKey":
        """A new key, its private half in ``folder``, readable only by its owner."""
        made = cls._of(Ed25519PrivateKey.generate())
        made.save(folder)
        return made

    @classmethod
    def generate(cls) -> "SigningKey":
        """A new key that is kept nowhere yet."""
        return cls._of(Ed25519PrivateKey.generate())

    def save(self, folder: Path) -> None:
        """Writes the private half to ``folder``, readable only by its owner."""
        write_file(key_path(folder, self.keyid), self.signer.private_bytes)

    @classmethod
    def load(cls, folder: Path, keyid: str) -> "SigningKey":
        """The key ``keyid`` from ``folder``.

        Raises:
            WorkspaceInvalid: it is missing or damaged, or is another key.
        """
        path = key_path(folder, keyid)
        advice = "restore it from a backup; without it nothing new can be signed"
        try:
            private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError:
            raise WorkspaceInvalid(f"the signing key {path} is missing: {advice}") from None
        except (ValueError, TypeError) as error:
            raise WorkspaceInvalid(f"the signing key {path} is damaged: {advice}") from error
        if not isinstance(private, Ed25519PrivateKey) or cls._of(private).keyid != keyid:
            raise WorkspaceInvalid(f"{path} does not hold the key that the ledger names: {advice}")
        return cls._of(private)

    @classmethod
    def _of(cls, private: Ed25519PrivateKey) -> "SigningKey":
        form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        pem = private.public_key().public_bytes(*form).decode()
        return cls(CryptoSigner(private, _public(pem)), pem)

    def sign(self, kind: str, subjects: Mapping[str, str], predicate: Mapping[str, Any]) -> str:
        """A signed in-toto Statement as canonical JSON: ``predicate`` about ``subjects`` (names and SHA-256)."""
        statement = {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": value}} for name, value in sorted(subjects.items())],
            "predicateType": kind,
            "predicate": dict(predicate),
        }
        envelope = Envelope(canonical(statement).encode(), PAYLOAD, {})
        envelope.sign(self.signer)
        return canonical(envelope.to_dict())


def endorse(old: SigningKey, new: SigningKey, size: int, *, is_revoked: bool) -> str:
    """The statement by which ``old`` hands over to ``new`` when the log has ``size`` events; signed by ``old``."""
    predicate = {"from": old.keyid, "to": new.keyid, "size": size, "is_revoked": is_revoked}
    return old.sign(ROTATION, {f"key/{new.keyid}": digest(new.pem)}, predicate)


@dataclass(frozen=True)
class PublicKeys:
    """The keys that a verifier trusts, oldest first: trust in the first extends to those that each in turn has endorsed.

    Args:
        pems: PEM texts by key id.
        endorsements: for each key id but the first, the statement by which the previous key handed over to it.
        until: for each key id but the last, the number of events in the log when it was replaced: it counts for no later one.
        revoked: keys that were replaced because somebody else may have them.
    """

    pems: Mapping[str, str]
    endorsements: Mapping[str, str] = field(default_factory=dict)
    until: Mapping[str, int] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()

    @classmethod
    def of(cls, chain: Iterable[tuple[str, str | None]]) -> "PublicKeys":
        """The keys in PEM texts, each with the statement that endorses it; the first needs none.

        Raises:
            SignatureInvalid: a key is not endorsed by the one before.
        """
        known = cls({})
        for pem, endorsement in chain:
            known = known._and(pem, endorsement)
        return known

    def _and(self, pem: str, endorsement: str | None) -> "PublicKeys":
        keyid, before = str(_public(pem).keyid), next(reversed(list(self.pems)), None)
        if before is None:
            return PublicKeys({keyid: pem})
        said = PublicKeys({before: self.pems[before]}).verified(endorsement or "", ROTATION).predicate
        given = require_members(said, {"from": str, "to": str, "size": int, "is_revoked": bool})
        if (given["from"], given["to"]) != (before, keyid) or keyid in self.pems:
            raise SignatureInvalid("a key is not endorsed by the one before")
        revoked = self.revoked | ({before} if given["is_revoked"] else set())
        made = {**self.endorsements, keyid: str(endorsement)}
        return PublicKeys({**self.pems, keyid: pem}, made, {**self.until, before: given["size"]}, revoked)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "PublicKeys":
        """The keys in a file: PEM texts one after the other, and before each but the first the statement that endorses it.

        Raises:
            WorkspaceInvalid: there is no such file, or no key in it, or one that is not endorsed.
        """
        try:
            return cls.in_file(Path(path).read_bytes(), str(path))
        except FileNotFoundError:
            raise WorkspaceInvalid(f"there is no public key at {path}: {ADVICE}") from None

    @classmethod
    def in_file(cls, content: bytes, name: str) -> "PublicKeys":
        """Like ``read``, for the content of a file.

        Args:
            content: content of the file.
            name: what the file is called in messages.

        Raises:
            WorkspaceInvalid: there is no key in it, or one that is not endorsed.
        """
        try:
            keys = cls.of(_read_chain(content.decode()))
        except SignatureInvalid as error:
            raise WorkspaceInvalid(f"{name} holds a key that the one before it has not endorsed: {ADVICE}") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise WorkspaceInvalid(f"{name} does not hold an Ed25519 public key: {ADVICE}") from error
        if not keys.pems:
            raise WorkspaceInvalid(f"{name} does not hold a public key: {ADVICE}")
        return keys

    def __str__(self) -> str:
        said = {keyid: f"{statement}\n" for keyid, statement in self.endorsements.items()}
        return "".join(said.get(keyid, "") + pem for keyid, pem in self.pems.items())

    def require_in_time(self, envelope: str, size: int) -> None:
        """Raises ``SignatureInvalid`` if the key of a verified ``envelope`` was replaced before the log had ``size`` events."""
        if size > self.until.get(_keyid(envelope), size):
            raise SignatureInvalid(f"it is signed with a key that was replaced before event {size} of the log")

    def require_unrevoked(self, envelope: str) -> None:
        """Raises ``SignatureInvalid`` if the key of a verified ``envelope`` was revoked: nobody can tell when it signed."""
        if _keyid(envelope) in self.revoked:
            raise SignatureInvalid(
                "it is signed with a key that was revoked: have it made again with expunge receipt or expunge transcript"
            )

    def verified(self, envelope: str, kind: str) -> Statement:
        """The statement in ``envelope``, if exactly one of these keys signed it, nobody else did, and it is of this ``kind``.

        Raises:
            SignatureInvalid: it was altered, signed by another key, or is of another kind.
        """
        given = require_members(parsed(envelope), {"payload": str, "payloadType": str, "signatures": list})
        if len(given["signatures"]) != 1:
            raise SignatureInvalid(f"it must have exactly one signature, but has {len(given['signatures'])}")
        keyid = require_members(given["signatures"][0], {"keyid": str, "sig": str})["keyid"]
        if keyid not in self.pems:
            raise SignatureInvalid("it is signed by a key that is not among the trusted ones")
        try:
            read = Envelope.from_dict(json.loads(envelope))
            is_exact = canonical(read.to_dict()) == envelope
            read.verify([_public(self.pems[keyid])], 1)
            payload = read.payload.decode()
        except (VerificationError, ValueError) as error:
            raise SignatureInvalid("the signature is not one of the trusted keys', or what it signs was altered") from error
        parts = {"_type": str, "predicate": dict, "predicateType": str, "subject": list}
        statement = require_members(parsed(payload), parts)
        is_ours = read.payload_type == PAYLOAD and statement["_type"] == STATEMENT
        if not (is_exact and is_ours and statement["predicateType"] == kind):
            raise SignatureInvalid(f"this is not a {kind.split(':')[2]} in the form that this package signs")
        return Statement(statement["subject"], statement["predicate"])


def _read_chain(text: str) -> list[tuple[str, str | None]]:
    chain = []
    for part in text.split(PEM_END):
        if part.strip():
            said, begin, pem = part.partition(PEM_BEGIN)
            if not begin:
                raise ValueError("not PEM")
            chain.append((f"{begin}{pem}{PEM_END}\n", said.strip() or None))
    return chain


def _keyid(envelope: str) -> str:
    return str(json.loads(envelope)["signatures"][0]["keyid"])


def key_path(folder: Path, keyid: str) -> Path:
    """Where the private half of ``keyid`` lies."""
    return folder / f"signing-{keyid[:16]}.pem"


def _public(pem: str) -> SSlibKey:
    public = serialization.load_pem_public_key(pem.encode())
    if not isinstance(public, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return SSlibKey.from_crypto(public, keyid=hashlib.sha256(base64.b64encode(raw)).hexdigest())
