"""Secret keys in files: 32 random bytes as hexadecimal digits, readable only by their owner; more lines may follow."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from expunge.errors import WorkspaceInvalid
from expunge.files import write_file

KEY_BYTES = 32


def create(path: Path, lines: Sequence[str] = ()) -> bytes:
    """A new secret, kept in ``path`` above ``lines``."""
    secret = secrets.token_bytes(KEY_BYTES)
    write(path, secret, lines)
    return secret


def write(path: Path, secret: bytes, lines: Sequence[str] = ()) -> None:
    """Keeps ``secret`` in ``path``."""
    write_file(path, "".join(f"{line}\n" for line in (secret.hex(), *lines)).encode("ascii"))


def load(path: Path, name: str, loss: str) -> bytes:
    """The secret in ``path``, which must hold nothing else.

    Args:
        name: name of the key, for the errors.
        loss: what cannot be done without it.

    Raises:
        WorkspaceInvalid: it is missing, cannot be read, or is damaged.
    """
    secret, lines = load_with_lines(path, name, loss)
    if lines:
        raise damaged(path, name, loss)
    return secret


def load_with_lines(path: Path, name: str, loss: str) -> tuple[bytes, list[str]]:
    """The secret in ``path``, and the lines below it; see ``load``."""
    try:
        first, *lines = path.read_text(encoding="ascii").splitlines() or [""]
        secret = bytes.fromhex(first.strip())
    except OSError as error:
        what = "missing" if isinstance(error, FileNotFoundError) else f"unreadable ({error.strerror})"
        raise WorkspaceInvalid(f"the {name} {path} is {what}: {_advice(loss)}") from None
    except ValueError:
        raise damaged(path, name, loss) from None
    if len(secret) != KEY_BYTES:
        raise damaged(path, name, loss)
    return secret, lines


def damaged(path: Path, name: str, loss: str) -> WorkspaceInvalid:
    """The error for a file at ``path`` that is not such a key."""
    return WorkspaceInvalid(f"the {name} {path} is damaged: {_advice(loss)}")


def _advice(loss: str) -> str:
    return f"restore it from a backup; without it {loss}"
