"""Coverage: which requests a release answers, as one Merkle root in its signed certificate, and a proof for each of them.

The leaves are the digests of the requests' ids and commitments, padded with random ones to the next power of two, at least 64,
and sorted: neither the root nor a proof for one request reveals how many others there are, or which. The random ones are
derived from the salt of the release's evidence, so a proof can be made as long as the evidence is kept.
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from expunge.errors import SignatureInvalid
from expunge.evidence.proofs import Leaves, require_included
from expunge.evidence.statements import canonical, digest, require_members

LEAST = 64
"""Smallest number of leaves, even for a batch without requests."""


@dataclass(frozen=True)
class Covered:
    """The proof that a request is answered.

    Args:
        request: id of the request.
        commitment: commitment to its person, as in the receipt.
        proof: the proof that both are under the root that the certificate signs, as pymerkle writes it.
    """

    request: str
    commitment: str
    proof: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True)
class Coverage:
    """The requests that one release answers.

    Args:
        leaves: leaves of the tree, sorted, including the random ones.
    """

    leaves: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, salt: str, requests: Iterable[tuple[str, str]]) -> "Coverage":
        """The coverage of a release with the evidence's ``salt`` that answers ``requests``: pairs of id and commitment."""
        own = [_leaf(request, commitment) for request, commitment in requests]
        size = max(LEAST, 1 << max(0, len(own) - 1).bit_length())
        key = bytes.fromhex(salt)
        filling = [hmac.digest(key, b"coverage\0" + i.to_bytes(8, "big"), "sha256").hex() for i in range(len(own), size)]
        return cls(tuple(sorted([*own, *filling])))

    @property
    def root(self) -> str:
        """The root that is signed, in hexadecimal."""
        return str(Leaves(self.leaves).get_root().hex())

    def proof(self, request: str, commitment: str) -> "Covered | None":
        """The proof, for holders of the certificate, that ``request`` is answered; ``None`` if it is not."""
        leaf = _leaf(request, commitment)
        if leaf not in self.leaves:
            return None
        proof = Leaves(self.leaves).prove_inclusion(self.leaves.index(leaf) + 1).serialize()
        return Covered(request, commitment, proof)


def verify_covered(covers: Any, root: Any) -> str:
    """The request that ``covers`` proves to be answered, under a signed ``root``.

    Raises:
        SignatureInvalid: it proves nothing of the kind.
    """
    given = require_members(covers, {"request": str, "commitment": str, "proof": dict})
    metadata = given["proof"].get("metadata")
    size = metadata.get("size") if isinstance(metadata, dict) else None
    if type(size) is not int or size < LEAST or size & (size - 1) or not isinstance(root, str):  # no other size has one form
        raise SignatureInvalid("the proof does not show that it is in the tree that was signed")
    require_included(_leaf(given["request"], given["commitment"]), given["proof"], root, size)
    return str(given["request"])


def _leaf(request: str, commitment: str) -> str:
    return digest(canonical({"request": request, "commitment": commitment}))
