"""Coverage: which requests a release answers, as one Merkle root in its signed certificate, and proofs for each of them.

The leaves are the digests of the requests' ids and commitments, filled up with random ones to the next power of two, to 64 at
least, and sorted: neither the root nor a proof of one request tells how many others there are, or which. The random ones are
derived from the salt of the release's evidence, so that a proof can be made as long as the evidence is kept.
"""

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from expunge.errors import LedgerCorrupt, RequestRefused, SignatureInvalid
from expunge.ledger import releases, requests
from expunge.ledger.log import of_kind, predicate_of
from expunge.ledger.proofs import Leaves, require_included
from expunge.ledger.receipts import committed
from expunge.ledger.signing import canonical, digest, require_members

LEAST = 64
"""Leaves of a batch of so many requests or fewer, also of one without any."""


@dataclass(frozen=True)
class Coverage:
    """What one release answers.

    Args:
        leaves: of the tree, sorted, the random ones among them.
    """

    leaves: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, salt: str, requests: Iterable[tuple[str, str]]) -> "Coverage":
        """Of a release with the evidence's ``salt``, that answers ``requests``: pairs of id and commitment."""
        own = [_leaf(request, commitment) for request, commitment in requests]
        size = max(LEAST, 1 << max(0, len(own) - 1).bit_length())
        key = bytes.fromhex(salt)
        filling = [hmac.digest(key, b"coverage\0" + i.to_bytes(8, "big"), "sha256").hex() for i in range(len(own), size)]
        return cls(tuple(sorted([*own, *filling])))

    @property
    def root(self) -> str:
        """What is signed, in hexadecimal."""
        return str(Leaves(self.leaves).get_root().hex())

    def proof(self, request: str, commitment: str) -> dict[str, Any] | None:
        """What shows that ``request`` is answered, for whoever has the certificate; ``None`` if it is not."""
        leaf = _leaf(request, commitment)
        if leaf not in self.leaves:
            return None
        proof = Leaves(self.leaves).prove_inclusion(self.leaves.index(leaf) + 1).serialize()
        return {"request": request, "commitment": commitment, "proof": proof}


def verify_covered(covers: Any, root: Any) -> str:
    """The request that ``covers`` shows to be answered under a signed ``root``.

    Raises:
        SignatureInvalid: it shows nothing of the kind.
    """
    given = require_members(covers, {"request": str, "commitment": str, "proof": dict})
    metadata = given["proof"].get("metadata")
    size = metadata.get("size") if isinstance(metadata, dict) else None
    if type(size) is not int or size < LEAST or size & (size - 1) or not isinstance(root, str):  # no other size has one form
        raise SignatureInvalid("the proof does not show that it is in the tree that was signed")
    require_included(_leaf(given["request"], given["commitment"]), given["proof"], root, size)
    return str(given["request"])


def bound(
    connection: sa.Connection, model: str, salt: str, answered: Iterable[sa.Row[Any]], table_digest: str
) -> dict[str, str]:
    """What a certificate of ``model`` is bound to, under the ``salt`` of its evidence: requests, specification and table.

    Args:
        answered: the requests that the release answers.
        table_digest: of the table's files.
    """
    specified = releases.named(connection, model)
    return {
        "requests": _root(salt, answered),
        "schema": committed(specified.salt, model, specified.specification),
        "table": table_commitment(salt, table_digest),
    }


def require_bound(connection: sa.Connection, release: sa.Row[Any]) -> None:
    """Raises ``LedgerCorrupt`` unless ``release`` was signed for the requests and the specification that the ledger has."""
    salt, signed = json.loads(release.evidence)["salt"], predicate_of(release.envelope)
    wrong = f"certificate {release.id} was signed for other"
    if signed.get("requests") != _root(salt, requests.answered(connection, release.batch, release.model)):
        raise LedgerCorrupt(f"{wrong} requests than the ledger has: run expunge doctor")
    specified = [event["specification"] for event in of_kind(connection, "model.fitted") if event["model"] == release.model]
    if signed.get("schema") not in specified:
        raise LedgerCorrupt(f"{wrong} specification of its model than the ledger has: run expunge doctor")


def covering(connection: sa.Connection, release: sa.Row[Any], request: str) -> dict[str, Any]:
    """What shows, to be put into the certificate of ``release``, that it answers ``request``.

    Raises:
        RequestRefused: there is no such request, or another release answers it.
        LedgerCorrupt: the requests are not those that were signed.
    """
    row = requests.by_id(connection, request)
    if row is None:
        raise RequestRefused(f"there is no request {request!r}", reason="unknown-request")
    made = requests.releases_of(connection, row)
    if release.id not in made:
        numbers = ", ".join(map(str, made))
        instead = f"certificates {numbers} do" if made else f"it is {row.state}, and no certificate answers it"
        raise RequestRefused(f"certificate {release.id} does not answer request {request}: {instead}", reason="not-covered")
    require_bound(connection, release)
    theirs = requests.answered(connection, release.batch, release.model)
    answered = [(other.id, other.commitment) for other in theirs]
    proof = Coverage.of(json.loads(release.evidence)["salt"], answered).proof(request, row.commitment)
    assert proof is not None
    return proof


def table_commitment(salt: str, table_digest: str) -> str:
    """What may be published of the table's state: without the salt, rows could be tried out against it."""
    return committed(salt, "table", table_digest)


def _root(salt: str, answered: Iterable[sa.Row[Any]]) -> str:
    return Coverage.of(salt, [(row.id, row.commitment) for row in answered]).root


def _leaf(request: str, commitment: str) -> str:
    return digest(canonical({"request": request, "commitment": commitment}))
