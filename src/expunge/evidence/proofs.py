"""Proofs: that an entry is in a Merkle tree, and that one tree begins with another. They are exactly as made, or refused.

A proof is accepted in one form only: equal numbers that are written differently (``true`` for 1, 1.0 for 1) are refused, and so
are sizes that the path does not need.
"""

from collections.abc import Iterable
from typing import Any

from pymerkle import BaseMerkleTree, ConsistencyProof, InclusionProof, InvalidProof, verify_consistency, verify_inclusion

from expunge.errors import SignatureInvalid
from expunge.evidence.statements import canonical

WRONG = (InvalidProof, KeyError, TypeError, ValueError, AttributeError)
"""Errors that pymerkle raises for something that is not a proof."""


class Leaves(BaseMerkleTree):  # type: ignore[misc]  # pymerkle has no types
    """A tree over entries that are all known at once; pymerkle's own in memory takes twenty times as long."""

    def __init__(self, entries: Iterable[str]) -> None:
        super().__init__()
        self._leaves = [self.hash_buff(entry.encode()) for entry in entries]

    def _encode_entry(self, data: str) -> bytes:
        return data.encode()

    def _store_leaf(self, data: Any, digest: bytes) -> int:
        raise NotImplementedError  # the leaves are given once

    def _get_leaf(self, index: int) -> bytes:
        return bytes(self._leaves[index - 1])

    def _get_leaves(self, offset: int, width: int) -> list[bytes]:
        return self._leaves[offset : offset + width]

    def _get_size(self) -> int:
        return len(self._leaves)


def root_of(entries: Iterable[str], size: int | None = None) -> str:
    """The root over the first ``size`` entries, by default over all, in hexadecimal."""
    return str(Leaves(entries).get_root(size).hex())


def require_included(entry: str, proof: Any, root: str, size: int) -> int:
    """The position, from 1, of ``entry`` among the ``size`` entries under ``root``, by ``proof``.

    Raises:
        SignatureInvalid: the proof does not show it.
    """
    try:
        given = InclusionProof.deserialize(proof)
        leaf = Leaves([entry]).get_leaf(1)
        verify_inclusion(leaf, bytes.fromhex(root), given, size=size, algorithm="sha256")
        index = int(given.index)
        plain = InclusionProof("sha256", True, size, index, [int(bit) for bit in given.rule], given.path)
        is_exact = canonical(plain.serialize()) == canonical(proof)
    except WRONG as error:
        raise SignatureInvalid("the proof does not show that it is in the tree that was signed") from error
    if not is_exact:
        raise SignatureInvalid("the proof is not in the form that this package writes")
    return index


def earlier_root(proof: Any, earlier: int, root: str, size: int) -> str:
    """The root of the first ``earlier`` entries of the ``size`` under ``root``, by a proof of consistency.

    Raises:
        SignatureInvalid: the proof does not show it.
    """
    try:
        given = ConsistencyProof.deserialize(proof)
        found = given.retrieve_prior_state()
        verify_consistency(found, bytes.fromhex(root), given, prior_size=earlier, later_size=size, algorithm="sha256")
        rule, subset = ([int(bit) for bit in bits] for bits in (given.rule, given.subset))
        plain = ConsistencyProof("sha256", True, size, earlier, rule, subset, given.path)
        is_exact = canonical(plain.serialize()) == canonical(proof)
    except WRONG as error:
        raise SignatureInvalid("the proof does not show what the later log begins with") from error
    if not is_exact:
        raise SignatureInvalid("the proof is not in the form that this package writes")
    return str(found.hex())
