"""Transcript statements: what all releases of a model, from before people were forgotten until now, reveal of them together.

Evidence: its figures are computed from rows without noise, and are for those who may see the data. The file holds the signed
statement and the whole log under its signed head, so that a verifier can compose μ again from the releases listed, and check
that they are all that the log has.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from expunge.errors import SignatureInvalid
from expunge.evidence.bundles import verify_export
from expunge.evidence.charges import RELATIVE, Why, composed, delta_of, require_order
from expunge.evidence.checks import Passed, untold
from expunge.evidence.events import REFIT_BATCH, EventKind
from expunge.evidence.signing import PublicKeys, SigningKey
from expunge.evidence.statements import TRANSCRIPT, canonical, parsed, require_members

SLACK = 1e-3
"""How far the δ(ε) of a claim may be found above δ: it is computed here with few digits."""


@dataclass(frozen=True)
class ChargedRelease:
    """A release in a statement.

    Args:
        number: number of the release among those of its model.
        at: the hour, ISO 8601.
        certificate: SHA-256 of its signed certificate, as in the log.
        why: the reason for its cost.
        mu: Gaussian certifiability μ charged to it for these people.
    """

    number: int
    at: str
    certificate: str
    why: Why
    mu: float


@dataclass(frozen=True)
class TranscriptStatement:
    """What all releases of a model together reveal of the people whom one of them forgot.

    Args:
        model: name of the model.
        release: number of the release that forgot them.
        request: a request that it answers, if the statement was made for one.
        exposed_from: number of the first earlier release that counts, that of the last fit.
        exposure_mu: μ of the releases from that one until the deletion: an estimate.
        releases: the releases from the deletion on, each with its cost.
        lost_mu: μ of what copies of the workspace given up by a restore since may have released; 0 if there are none.
        mu: μ of all of these together.
        epsilon: the ε of ``mu`` at ``delta``, in nats.
        delta: δ of the model's promise.
        events: number of events in the log.
        caveats: what the statement does not cover.
    """

    model: str
    release: int
    request: str | None
    exposed_from: int
    exposure_mu: float
    releases: tuple[ChargedRelease, ...]
    lost_mu: float
    mu: float
    epsilon: float
    delta: float
    events: int
    caveats: tuple[str, ...]

    def signed(self, key: SigningKey, log: str) -> str:
        """The statement as a file, signed.

        Args:
            key: the key that signs.
            log: the exported log that it is about.
        """
        exported = parsed(log)
        envelope = key.sign(TRANSCRIPT, {f"{self.model}/{self.release}": self.releases[0].certificate}, _plain(asdict(self)))
        return canonical({**exported, "expunge": "transcript", "statement": envelope})


def verify_transcript(content: Mapping[str, Any], keys: PublicKeys, passed: Passed = untold) -> TranscriptStatement:
    """The content of a transcript statement, if it is signed, lists the releases in the log, and μ is theirs.

    Args:
        content: content of the file.
        keys: the trusted public keys.
        passed: told of each check that passed. Default: nobody.

    Raises:
        SignatureInvalid: it was altered, is not signed by ``keys``, or does not follow from the log and its own figures.
    """
    given = require_members(content, {"expunge": str, "statement": str, "events": list, "checkpoint": str})
    log = {"expunge": "log", "events": given["events"], "checkpoint": given["checkpoint"]}
    size = verify_export(log, keys, passed)
    statement = _read(keys.verified(given["statement"], TRANSCRIPT).predicate)
    keys.require_unrevoked(given["statement"])
    passed("the statement is signed with one of the keys, which was not revoked")
    if statement.events != size:
        raise SignatureInvalid("the statement was made from a different state of the log than the one in the file")
    _require_logged(statement, [parsed(entry) for entry in given["events"]])
    passed("it lists every release of the log since the deletion, and no other")
    _require_composed(statement)
    passed("its totals follow from its own figures")
    return statement


def _require_logged(statement: TranscriptStatement, events: Sequence[Mapping[str, Any]]) -> None:
    """Refuses a statement that leaves out a release of the log, adds one, or begins too late."""
    fitted_by, number, batch, is_lost = 0, 0, None, False
    logged: list[tuple[int, str, str, bool]] = []
    for event in events:
        kind = event["kind"]
        if kind == EventKind.BATCH_BEGUN:
            batch = event["batch_kind"]
        elif kind == EventKind.WORKSPACE_RESTORED:
            is_lost = is_lost or bool(logged)
        elif kind == EventKind.MODEL_FITTED and event["model"] == statement.model and not logged:
            fitted_by = number + 1
        elif kind == EventKind.RELEASE_CERTIFIED and event["model"] == statement.model:
            number = event["number"]
            if number >= statement.release:
                logged.append((number, event["at"], event["certificate"], batch == REFIT_BATCH))
    listed = [(each.number, each.at, each.certificate) for each in statement.releases]
    if not listed or listed != [found[:3] for found in logged]:
        raise SignatureInvalid("the releases that the statement lists are not those of the log since the deletion")
    for each, (_number, _at, _certificate, can_be_scheduled) in zip(statement.releases, logged, strict=True):
        if each.why is Why.SCHEDULED and not can_be_scheduled:
            raise SignatureInvalid(f"release {each.number} was not a refit by the log, so it cannot be a scheduled one")
    if statement.exposed_from != fitted_by:
        raise SignatureInvalid("the statement does not count the releases since the model was fitted")
    if is_lost and not statement.lost_mu > 0.0:
        raise SignatureInvalid("the workspace was restored since: what a copy that was given up released is not charged")


def _require_composed(statement: TranscriptStatement) -> None:
    """Refuses a statement whose μ or ε does not follow from its figures."""
    require_order(each.why for each in statement.releases)
    figures = [statement.exposure_mu, statement.lost_mu, *(each.mu for each in statement.releases)]
    if not all(figure >= 0.0 for figure in figures):
        raise SignatureInvalid("the statement has a figure below 0")
    mu, delta = composed(figures), statement.delta
    if not (mu == statement.mu or math.isclose(mu, statement.mu, rel_tol=RELATIVE)):
        raise SignatureInvalid(f"the releases compose to mu = {mu:.6g}, but the statement says {statement.mu:.6g}")
    if not (0.0 < delta < 1.0 and statement.epsilon >= 0.0):
        raise SignatureInvalid("the statement has an impossible epsilon or delta")
    if 0.0 < mu < math.inf and statement.epsilon < math.inf and delta_of(mu, statement.epsilon) > delta * (1.0 + SLACK):
        raise SignatureInvalid(f"epsilon = {statement.epsilon:.6g} is too small for mu = {mu:.6g}")
    if mu == math.inf > statement.epsilon:
        raise SignatureInvalid("nothing bounds what was revealed, but the statement gives a bound")


def _read(predicate: Mapping[str, Any]) -> TranscriptStatement:
    types = {"model": str, "release": int, "exposed_from": int, "releases": list, "events": int, "caveats": list}
    figures = ("exposure_mu", "lost_mu", "mu", "epsilon", "delta")
    given = dict(predicate)
    request, numbers = given.pop("request", ""), {name: _number(given.pop(name, None)) for name in figures}
    require_members(given, types)
    if not (request is None or isinstance(request, str)):
        raise SignatureInvalid("it was altered, or is something else: member 'request' is not as it should be")
    listed = []
    for each in given.pop("releases"):
        row = dict(each) if isinstance(each, dict) else {}
        mu = _number(row.pop("mu", None))
        found = require_members(row, {"number": int, "at": str, "certificate": str, "why": str})
        if found["why"] not in set(Why):
            raise SignatureInvalid(f"the statement charges a release for an unknown reason: {found['why'][:40]!r}")
        listed.append(ChargedRelease(**{**found, "why": Why(found["why"])}, mu=mu))
    given["caveats"] = tuple(map(str, given["caveats"]))
    return TranscriptStatement(**{**given, **numbers, "request": request, "releases": tuple(listed)})


def _number(value: Any) -> float:
    if value == "inf":
        return math.inf
    if type(value) not in (int, float):
        raise SignatureInvalid("it was altered, or is something else: a figure is not a number")
    return float(value)


def _plain(value: Any) -> Any:
    """``value`` for canonical JSON, which has no infinity; it becomes the text ``"inf"``."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return "inf" if value == math.inf else value
