"""workspace.toml: what a person may set, each with a default that works."""

import json
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

from expunge.errors import WorkspaceInvalid
from expunge.files import write_file

ZERO = ("refit_requests", "compare_days", "undeclared_percent")
"""Settings that may be 0."""
LOCAL = "local"
"""The engine that is this process."""
TEXT = """\
# Settings of this workspace. Every line may be left out.

# Where the ledger is kept: a file in this folder, or a database such as postgresql+psycopg://user@host/name, whose password is
# best kept apart, in ~/.pgpass or the environment's PGPASSWORD.
database = "sqlite:///ledger.sqlite"

# Days within which a request must be closed (GDPR Art. 12: one month).
deadline_days = 30

# A model that has forgotten anybody is refitted on a schedule, so that its anchor no longer depends on those forgotten and its
# privacy budget begins anew: so many days after its fit or last scheduled refit (1: every night, from midnight in UTC on), or
# after so many releases (0: by the calendar alone). Requests that wait are worked before a refit. The schedule of a model is
# fixed when it is fitted, because nothing computed from rows may move it.
refit_days = 1
refit_requests = 200

# Days after which expunge process compares every model with the rows of the table again, in one pass each (0: never; expunge
# doctor --depth models does it at any time). A model that does not hold these rows is set aside.
compare_days = 30

# Days for which a keyed digest is kept of rows that were added, so that the same rows are not added twice. No longer than a
# tombstone is kept: whoever has the keys, and all rows of a file, learns from it that they were here.
recognised_days = 365

# The share of a column, in percent, that may be outside what the schema declares: above it fit and replace stop and ask for
# --accept-undeclared, append and rectify if it, or the share that is missing, is so much above that in the table. Five values
# or fewer never stop them.
undeclared_percent = 5

# Where the rows are summed: in this process ("local"), or on a Dask cluster (dask://host:port) whose workers see this folder.
engine = "local"

# Where to keep a small file, the anchor, by which an older copy of this workspace is noticed, and from which a restored backup
# learns who was forgotten since: an absolute path on another disk, or the URL of a store, such as s3://bucket/name or
# sftp://host/path. It is compared before every batch and written at its end. "" for none.
anchor = ""

# Requests that one caller may make in 24 hours.
requests_per_day = 100000

# Days for which a keyed hash, the tombstone, is kept of everybody forgotten. It answers repeated requests, keeps their rows
# from being learned again unseen, and lets a restored backup forget them again; it is a pseudonym, so it must go one day. Three
# years are the term of limitation of most claims. Keep no backup for longer: restoring it would bring back who was forgotten.
tombstone_days = 1095
"""


@dataclass(frozen=True)
class Configuration:
    """The settings; see ``TEXT`` for what they mean."""

    database: str = field(default="sqlite:///ledger.sqlite", repr=False)  # there may be a password in it
    deadline_days: int = 30
    refit_days: int = 1
    refit_requests: int = 200
    compare_days: int = 30
    recognised_days: int = 365
    undeclared_percent: int = 5
    engine: str = LOCAL
    anchor: str = ""
    requests_per_day: int = 100_000
    tombstone_days: int = 1095

    @classmethod
    def read(cls, path: Path) -> "Configuration":
        """The settings in the file at ``path``.

        Raises:
            WorkspaceInvalid: no TOML, an unknown key, or a value of another type; names the key.
        """
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise WorkspaceInvalid(
                f"{path.parent} is not a workspace (it has no {path.name}): make one with expunge init, or give --workspace DIR"
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise WorkspaceInvalid(f"{path} is not TOML: {error}") from error
        types = {field.name: type(field.default) for field in fields(cls)}
        for name, value in given.items():
            if name not in types:
                raise WorkspaceInvalid(f"{path}: there is no setting {name!r}; there are {', '.join(types)}")
            least = 0 if name in ZERO else 1
            if type(value) is not types[name] or (isinstance(value, int) and value < least):
                number = "a positive whole number" if least else "a whole number of at least 0"
                kind = "a text" if types[name] is str else number
                got = "" if name == "database" else f", got {value!r}"  # there may be a password in it
                raise WorkspaceInvalid(f"{path}: {name} must be {kind}{got}")
        configuration = cls(**given)
        if configuration.engine != LOCAL and not configuration.engine.startswith("dask://"):
            raise WorkspaceInvalid(f'{path}: engine must be "{LOCAL}" or dask://host:port, got {configuration.engine!r}')
        if configuration.anchor and not ("://" in configuration.anchor or configuration.anchor.startswith("/")):
            raise WorkspaceInvalid(f'{path}: anchor must be an absolute path, a URL or "", got {configuration.anchor!r}')
        return configuration

    @staticmethod
    def change(path: Path, name: str, value: str) -> None:
        """Gives the setting ``name`` another value in the file at ``path``, and leaves all else in it as it is."""
        line, text = f"{name} = {json.dumps(value)}", path.read_text(encoding="utf-8")
        lines = [line if re.match(rf"\s*[\"']?{name}[\"']?\s*=", old) else old for old in text.splitlines()]
        write_file(path, "\n".join([*([] if line in lines else [line]), *lines, ""]).encode())

    def write(self, path: Path) -> None:
        """Writes the commented file, with another database if one was chosen."""
        write_file(path, TEXT.replace(Configuration.database, self.database).encode())
