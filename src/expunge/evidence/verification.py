"""Verification of files offline: certificate, receipt, transcript, log or checkpoint, with only the public keys.

A file is accepted exactly as it was written, or refused; whatever is done to a file, the error is ``SignatureInvalid``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.errors import NotShown, SignatureInvalid
from expunge.evidence.bundles import verify_bundle, verify_export
from expunge.evidence.checks import Passed, untold
from expunge.evidence.coverage import verify_covered
from expunge.evidence.heads import Relation, Witness, relation, shown_since, signed_head
from expunge.evidence.receipts import verify_receipt
from expunge.evidence.signing import PublicKeys
from expunge.evidence.statements import SCHEMA_PRIVACY, canonical, parsed, require_members
from expunge.evidence.transcripts import verify_transcript

KINDS = ("certificate", "receipt", "transcript", "log", "checkpoint")


@dataclass(frozen=True)
class ProvenCertificate:
    """What a certificate proves.

    Args:
        kind: ``certificate``.
        model: name of the model.
        release: number of the release.
        issued: the hour, ISO 8601.
        epsilon: ε promised to everybody forgotten, in nats; ``"inf"`` if nothing is.
        delta: δ of the same promise.
        sigma: standard deviation of isotropic noise in each weight; ``None`` for shaped noise.
        subject: the digest of the weights, under the name of the release.
        covers: the request that the file proves to be answered; ``None`` if it proves none.
        of_subject: the id that was asked about.
        noise: ``isotropic`` or ``shaped``.
        excess_risk: what shaped noise may cost in mean loss.
        noise_floor: floor of shaped noise: how much of it is kept off people with rare features.
        schema_epsilon: ε, in nats, of the features, if they were proposed from the rows with differential privacy for each
            person, beside the ε above (theory §5.9); ``None`` if they were not.
        schema_delta: δ of that.
    """

    kind: str
    model: str
    release: int
    issued: str
    epsilon: float | str
    delta: float
    sigma: float | None
    subject: Sequence[Mapping[str, Any]]
    covers: str | None
    of_subject: str | None
    noise: str = "isotropic"
    excess_risk: float | None = None
    noise_floor: float | None = None
    schema_epsilon: float | None = None
    schema_delta: float | None = None


@dataclass(frozen=True)
class ProvenReceipt:
    """What a receipt proves.

    Args:
        kind: ``receipt``.
        request: id of the request.
        received: the hour, ISO 8601.
        of_subject: the id that was asked about, which is that of the receipt; ``None`` if none was.
    """

    kind: str
    request: str
    received: str
    of_subject: str | None


@dataclass(frozen=True)
class ProvenLog:
    """What a log proves.

    Args:
        kind: ``log``.
        events: number of events.
    """

    kind: str
    events: int


@dataclass(frozen=True)
class ProvenCheckpoint:
    """What a checkpoint proves.

    Args:
        kind: ``checkpoint``.
        events: number of events.
        root: root of the Merkle tree over them, in hexadecimal.
        since: size of an earlier log with which this one is proved to begin.
    """

    kind: str
    events: int
    root: str
    since: int | None


@dataclass(frozen=True)
class ProvenTranscript:
    """What a transcript statement proves: the workspace vouches for its figures, they compose to μ, and the log has no other
    releases since.

    Args:
        kind: ``transcript``.
        model: name of the model.
        release: number of the release that forgot the people.
        request: a request that it answers, if the statement names one.
        exposure_mu: Gaussian certifiability μ of the releases before, an estimate; ``"inf"`` if nothing bounds it.
        releases: number of releases from the deletion on.
        mu: μ of all of them together.
        epsilon: the ε of ``mu`` at ``delta``, in nats.
        delta: δ of the model's promise.
        events: number of events in the log.
    """

    kind: str
    model: str
    release: int
    request: str | None
    exposure_mu: float | str
    releases: int
    mu: float | str
    epsilon: float | str
    delta: float
    events: int


Proven = ProvenCertificate | ProvenReceipt | ProvenTranscript | ProvenLog | ProvenCheckpoint


def verify_file(path: Path, keys: PublicKeys, subject: str | None = None, receipt: Path | None = None) -> Proven:
    """What the file at ``path`` proves.

    Args:
        path: path of a certificate, receipt, transcript, log or checkpoint.
        keys: the trusted public keys.
        subject: for a receipt, the id that it should be for.
        receipt: for a certificate, the file with the receipt of a request that it should answer.

    Raises:
        SignatureInvalid: a byte of it is not what was signed, or it is not one of these files.
        NotShown: it is genuine, but for another subject, or it does not show that it answers the request.
        FileNotFoundError: there is no such file.
    """
    return verify_content(_text(path), keys, subject, None if receipt is None else _text(receipt))


def verify_content(
    text: str, keys: PublicKeys, subject: str | None = None, receipt: str | None = None, passed: Passed = untold
) -> Proven:
    """Like ``verify_file``, for a file's content.

    Args:
        text: content of a file.
        keys: the trusted public keys.
        subject: for a receipt, the id that it should be for. Default: not asked.
        receipt: for a certificate, the content of the receipt of a request that it should answer. Default: not asked.
        passed: told of each check that passed. Default: nobody.

    Raises:
        SignatureInvalid, NotShown: as for ``verify_file``.
    """
    content = parsed(text)
    kind = _kind(content)
    passed(f"it is a {kind} in the form that Expunge writes")
    if receipt is not None and kind != "certificate":
        raise NotShown(f"the {kind} belongs to no release: use a receipt with a certificate")
    if subject is not None and receipt is None and kind != "receipt":
        raise NotShown(f"a {kind} names nobody: use a subject with a receipt")
    if kind == "certificate":
        return _certificate(content, keys, subject, receipt, passed)
    if kind == "receipt":
        predicate = verify_receipt(content, keys, subject, passed)
        return ProvenReceipt(kind, predicate["request"], predicate["received"], subject)
    if kind == "log":
        return ProvenLog(kind, verify_export(content, keys, passed))
    if kind == "transcript":
        return _transcript(content, keys, passed)
    witness = _witness(content, keys)
    passed("it is signed with one of the keys, and not a byte of what was signed was altered")
    since = None if witness.since is None else witness.since.size
    if since is not None:
        passed(f"it proves that the log still begins with the {since:,} events of an earlier checkpoint")
    return ProvenCheckpoint(kind, witness.head.size, witness.head.root, since)


def verify_continues(earlier: Path, later: Path, keys: PublicKeys) -> Relation:
    """The relation of the log in the file ``later`` to that in ``earlier``; each a checkpoint, a certificate or a log.

    Args:
        earlier: path of a checkpoint, certificate or log.
        later: path of another one.
        keys: the trusted public keys.

    Raises:
        SignatureInvalid: one of them is not genuine; the message names it.
        FileNotFoundError: there is no such file.
    """
    return relation(*(witnessed(path, keys) for path in (earlier, later)))


def witnessed(path: Path, keys: PublicKeys) -> Witness:
    """What the file at ``path`` shows about the log.

    Args:
        path: path of a checkpoint, certificate or log.
        keys: the trusted public keys.

    Raises:
        SignatureInvalid: it is not genuine, or shows nothing about the log; the message names it.
        FileNotFoundError: there is no such file.
    """
    try:
        return witness_in(_text(path), keys)
    except SignatureInvalid as error:
        raise SignatureInvalid(f"{path}: {error}") from error


def witness_in(text: str, keys: PublicKeys) -> Witness:
    """Like ``witnessed``, for a file's content.

    Args:
        text: content of a checkpoint, certificate or log.
        keys: the trusted public keys.

    Raises:
        SignatureInvalid: it is not genuine, or shows nothing about the log.
    """
    return _witness(parsed(text), keys)


def kind_of(text: str) -> str | None:
    """What kind of file a text is: one of ``KINDS``, or ``None``; nothing of it is checked.

    Args:
        text: content of a file.
    """
    try:
        return _kind(parsed(text))
    except SignatureInvalid:
        return None


def _witness(content: Any, keys: PublicKeys) -> Witness:
    kind = _kind(content)
    if kind == "receipt":
        raise SignatureInvalid("a receipt says nothing about the log: give a checkpoint, a certificate or a log")
    if "payload" in content:
        return Witness(signed_head(canonical(content), keys))
    if kind == "certificate":
        _certificate(content, keys, None, None, untold)
        return Witness(signed_head(content["checkpoint"], keys))
    if kind in ("log", "transcript"):
        if kind == "transcript":
            verify_transcript(content, keys)
        else:
            verify_export(content, keys)
        return Witness(signed_head(content["checkpoint"], keys), events=content["events"])
    since = {"since": dict} if "since" in content else {}
    given = require_members(content, {"expunge": str, "checkpoint": str, **since})
    head = signed_head(given["checkpoint"], keys)
    return Witness(head, shown_since(given["since"], head) if since else None)


def _transcript(content: dict[str, Any], keys: PublicKeys, passed: Passed) -> ProvenTranscript:
    """The content of a transcript statement."""
    said = verify_transcript(content, keys, passed)
    exposure, mu, epsilon = ("inf" if math.isinf(value) else value for value in (said.exposure_mu, said.mu, said.epsilon))
    return ProvenTranscript(
        kind="transcript",
        model=said.model,
        release=said.release,
        request=said.request,
        exposure_mu=exposure,
        releases=len(said.releases),
        mu=mu,
        epsilon=epsilon,
        delta=said.delta,
        events=said.events,
    )


def _certificate(
    content: dict[str, Any], keys: PublicKeys, subject: str | None, receipt: str | None, passed: Passed
) -> ProvenCertificate:
    """The content of a certificate, and the request that it answers."""
    statement = verify_bundle({name: value for name, value in content.items() if name != "covers"}, keys, passed)
    predicate = statement.predicate
    shown: tuple[str, ...] = ("model", "release", "issued", "epsilon", "delta", "sigma")
    if not all(name in predicate for name in shown):
        raise SignatureInvalid("this is not a certificate in the form that this package signs")
    shown += tuple(name for name in ("noise", "excess_risk", "noise_floor") if name in predicate)  # older ones have none
    covered = verify_covered(content["covers"], predicate.get("requests")) if "covers" in content else None
    if covered is not None:
        passed(f"the release is signed to answer request {covered}")
    if receipt is not None:
        _require_covered(content, keys, subject, receipt)
        passed("that is the request of the receipt" + ("" if subject is None else ", which is for the id that you gave"))
    claims = {name: predicate[name] for name in shown}
    if SCHEMA_PRIVACY in predicate:
        private = require_members(predicate[SCHEMA_PRIVACY], {"epsilon": float, "delta": float})
        claims |= {f"schema_{name}": value for name, value in private.items()}
    return ProvenCertificate("certificate", **claims, subject=statement.subject, covers=covered, of_subject=subject)


def _require_covered(content: dict[str, Any], keys: PublicKeys, subject: str | None, receipt: str) -> None:
    try:
        asked = verify_receipt(parsed(receipt), keys, subject)
    except NotShown:
        raise
    except SignatureInvalid as error:
        raise NotShown(f"the certificate is genuine, but the receipt is not: {error}") from error
    command = f"expunge certificate {parsed(content['event']).get('release')} --request {asked['request']} --out FILE"
    covers = content.get("covers")
    if covers is None:
        raise NotShown(
            f"the certificate is genuine, but the file does not show which request it answers: get one that does with {command}"
        )
    if covers["request"] != asked["request"] or covers["commitment"] != asked["commitment"]:
        raise NotShown(
            f"the certificate is genuine, but the file shows that it answers {covers['request']}, but the receipt is for "
            f"{asked['request']}: get one for that with {command}"
        )


def _kind(content: Any) -> str:
    if isinstance(content, dict):
        kind = "checkpoint" if "payload" in content else content.get("expunge")
        if kind in KINDS:
            return str(kind)
    raise SignatureInvalid("it is not a file of this package: not a certificate, receipt, transcript, log or checkpoint")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise SignatureInvalid(f"{path} is not text") from error
    except IsADirectoryError as error:
        raise SignatureInvalid(f"{path} is a folder") from error
