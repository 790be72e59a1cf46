"""Secret keys in files: 32 random bytes as hexadecimal digits, readable by their owner alone."""

import secrets
from pathlib import Path

from expunge.errors import WorkspaceInvalid
from expunge.files import write_file

KEY_BYTES = 32


def create(path: Path) -> bytes:
    """A new secret, kept in ``path``."""
    secret = secrets.token_bytes(KEY_BYTES)
    write_file(path, secret.hex().encode() + b"\n")
    return secret


def load(path: Path, name: str, loss: str) -> bytes:
    """The secret in ``path``.

    Args:
        name: of the key, for the errors; ``loss``: what cannot be done without it.

    Raises:
        WorkspaceInvalid: it is missing, cannot be read, or is damaged.
    """
    advice = f"restore it from a backup; without it {loss}"
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        what = "missing" if isinstance(error, FileNotFoundError) else f"unreadable ({error.strerror})"
        raise WorkspaceInvalid(f"the {name} {path} is {what}: {advice}") from None
    except ValueError as error:
        raise WorkspaceInvalid(f"the {name} {path} is damaged: {advice}") from error
    if len(secret) != KEY_BYTES:
        raise WorkspaceInvalid(f"the {name} {path} is damaged: {advice}")
    return secret
