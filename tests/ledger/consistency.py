"""The proof of consistency that the service hands out, checked as its receiver would."""

from collections.abc import Mapping
from typing import Any

from expunge.errors import SignatureInvalid
from expunge.evidence.heads import signed_head
from expunge.evidence.proofs import earlier_root
from expunge.evidence.signing import PublicKeys


def verify_continues(earlier: str, later: str, proof: Mapping[str, Any], keys: PublicKeys) -> None:
    """Raises ``SignatureInvalid`` unless ``proof`` shows that the log under ``later`` begins with the one under ``earlier``."""
    old, new = (signed_head(envelope, keys) for envelope in (earlier, later))
    try:
        is_right = earlier_root(proof, old.size, new.root, new.size) == old.root
    except SignatureInvalid:
        is_right = False
    if not is_right:
        raise SignatureInvalid("the later log does not begin with the earlier one, or the proof was altered")
