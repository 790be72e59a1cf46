"""Encoders that a schema names: a function of an installed package, which must match the declared one byte for byte.

A package offers its encoder as the only entry point of the group ``expunge.encoders``: a function that takes a text and returns
its numbers. So a schema cannot name any other code. The digest covers every file of the package, including weights, except what
the installer adds, and none of the packages that it needs; with another digest the features would differ, and so would what the
model says about people.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution

GROUP = "expunge.encoders"


def digest_of(package: str) -> str:
    """The digest of an installed package: SHA-256 over the names and contents of its files.

    Args:
        package: name of the package, as in ``pip install``.

    Raises:
        ValueError: it is not installed, is editable, or has no list of its files.

    Examples:
        >>> digest_of("numpy")[:7]
        'sha256:'
    """
    try:
        found = distribution(package)
    except PackageNotFoundError:
        raise ValueError(f"the package {package!r}, which holds the encoder, is not installed: install it") from None
    if json.loads(found.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable"):
        raise ValueError(f"the package {package!r} is installed as editable, so it may change: install it from a wheel")
    files = sorted(
        (file.as_posix(), file)
        for file in found.files or ()
        if "__pycache__" not in file.parts and not any(part.endswith((".dist-info", ".egg-info")) for part in file.parts)
    )
    if not files:
        raise ValueError(f"the package {package!r} has no list of its files: install it from a wheel")
    whole = hashlib.sha256()
    for name, file in files:
        whole.update(f"{name}\0{hashlib.sha256(file.read_binary()).hexdigest()}\n".encode())
    return f"sha256:{whole.hexdigest()}"


@lru_cache(maxsize=4)
def encoder(package: str, digest: str) -> Callable[[str], Sequence[float]]:
    """The encoder of an installed package.

    Args:
        package: name of the package.
        digest: the digest that it must have.

    Raises:
        ValueError: it is not installed, has another digest, or has no encoder.
    """
    found = digest_of(package)
    if found != digest:
        raise ValueError(
            f"the package {package!r} has the digest {found}, but the schema declares {digest}: install the version that the "
            "schema was written for, or declare this one and fit again"
        )
    points = distribution(package).entry_points.select(group=GROUP)
    if len(points) != 1:
        raise ValueError(f"the package {package!r} has {len(points)} entry points in the group {GROUP}: one is needed")
    loaded: Callable[[str], Sequence[float]] = next(iter(points)).load()
    return loaded
