"""workspace.toml: the settings that a person may change, each with a default that works."""

import ipaddress
import json
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

from expunge.errors import WorkspaceInvalid
from expunge.files import write_file
from expunge.workspace.deadlines import DaysOff

ZERO = ("refit_requests", "compare_days", "undeclared_percent", "hold_hours", "approval_people")
"""Settings that may be 0."""
FORMER, FORMER_DEFAULT = "deadline_days", 30
"""A setting of earlier versions; every file of theirs has it, so its default is read and does nothing."""
LOCAL = "local"
"""The engine that runs in this process."""
TEXT = """\
# Settings of this workspace. Every line may be left out.

# Where the ledger is kept: a file in this folder, or a database such as postgresql+psycopg://user@host/name. Keep its password
# elsewhere: in ~/.pgpass or the environment variable PGPASSWORD.
database = "sqlite:///ledger.sqlite"

# A request must be closed within one calendar month of the day on which it came (GDPR Art. 12(3)). If the last day is one of
# these, the deadline moves to the next day that is not: weekdays, days of every year and single days, separated by commas, such
# as "saturday, sunday, 12-25, 2027-03-26". "" never moves it.
days_off = ""

# Hours for which a new request can be withdrawn as if nobody had asked, before anybody works on it (0: it is worked at once).
hold_hours = 1

# The number of people in one call, list or file above which a second person has to approve the requests (0: nobody has to).
approval_people = 0

# A model that has forgotten anybody is refitted on a schedule, so that its anchor no longer depends on the people forgotten and
# its privacy budget starts again: this many days after its fit or last scheduled refit (1: every night, from midnight UTC), or
# after this many releases (0: by the calendar alone). Waiting requests are worked before a refit. A model's schedule is fixed
# when the model is fitted, because nothing computed from rows may move it.
refit_days = 1
refit_requests = 200

# Days after which expunge process compares every model with the rows of the table again, in one pass each (0: never; expunge
# doctor --depth models does so at any time). A model that does not hold these rows is set aside.
compare_days = 30

# Days for which a keyed digest of added rows is kept, so that the same rows are not added twice. No longer than tombstones are
# kept: anybody with the keys and all rows of a file can learn from the digest that they were here.
recognised_days = 365

# The share of a column, in percent, that may be outside what the schema declares. Above it, fit and replace stop and ask for
# --accept-undeclared; append and rectify stop if this share, or the missing share, exceeds the table's by so much. Five values
# or fewer never stop them.
undeclared_percent = 5

# Where the rows are summed: in this process ("local"), or on a Dask cluster (dask://host:port) whose workers see this folder.
engine = "local"

# Where to keep the anchor, a small file by which an older copy of this workspace is noticed, and from which a restored backup
# learns who has been forgotten since: an absolute path on another disk, or the URL of a store, such as s3://bucket/name or
# sftp://host/path. It is compared before every batch and written at its end. "" for none.
anchor = ""

# Networks inside to which webhooks may go, separated by commas, such as "10.20.0.0/16, fd00::/8"; "" for none. All other
# private, link-local and reserved addresses are refused, but for http://127.0.0.1 and http://localhost.
webhook_networks = ""

# The SMTP server that sends e-mail alerts: smtps://user@host:465 (TLS) or smtp://user@host:587 (STARTTLS); "" for none. Its
# password is in the file that the environment variable EXPUNGE_SMTP_PASSWORD_FILE names. And the address they come from.
smtp = ""
mail_from = ""

# What letters and certificates for people say of the house: its name, address and how to reach it, with \\n between the lines:
# "Example Ltd\\n1 Main Street\\nprivacy@example.org". And the address at which people reach the service, such as
# "https://forget.example.org": the codes on these papers lead to its page Verify; "" for the address in the browser of whoever
# prints them.
letterhead = ""
public_url = ""

# Requests that one caller may make in 24 hours.
requests_per_day = 100000

# Days for which a keyed hash of everybody forgotten, the tombstone, is kept. It answers repeated requests, keeps their rows
# from being learned again unnoticed, and lets a restored backup forget them again. It is a pseudonym, so it must be deleted one
# day. Three years is the limitation period of most claims. Keep no backup longer: restoring it would bring back the forgotten.
tombstone_days = 1095
"""


@dataclass(frozen=True)
class Configuration:
    """The settings; see ``TEXT`` for what they mean."""

    database: str = field(default="sqlite:///ledger.sqlite", repr=False)  # there may be a password in it
    days_off: str = ""
    hold_hours: int = 1
    approval_people: int = 0
    refit_days: int = 1
    refit_requests: int = 200
    compare_days: int = 30
    recognised_days: int = 365
    undeclared_percent: int = 5
    engine: str = LOCAL
    anchor: str = ""
    webhook_networks: str = ""
    smtp: str = field(default="", repr=False)  # somebody may put a password in it
    mail_from: str = ""
    letterhead: str = ""
    public_url: str = ""
    requests_per_day: int = 100_000
    tombstone_days: int = 1095

    @classmethod
    def read(cls, path: Path) -> "Configuration":
        """The settings in the file at ``path``.

        Raises:
            WorkspaceInvalid: not TOML, an unknown key, or a value of another type; the message names the key.
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
        if given.pop(FORMER, FORMER_DEFAULT) != FORMER_DEFAULT:
            raise WorkspaceInvalid(
                f"{path}: {FORMER} has no effect any more, because a request is due after one calendar month: delete the line, "
                "and see days_off for weekends and holidays"
            )
        for name, value in given.items():
            if name not in types:
                raise WorkspaceInvalid(f"{path}: there is no setting {name!r}; the settings are {', '.join(types)}")
            least = 0 if name in ZERO else 1
            if type(value) is not types[name] or (isinstance(value, int) and value < least):
                number = "a positive whole number" if least else "a whole number of at least 0"
                kind = "a string" if types[name] is str else number
                got = "" if name in ("database", "smtp") else f", got {value!r}"  # there may be a password in it
                raise WorkspaceInvalid(f"{path}: {name} must be {kind}{got}")
        configuration = cls(**given)
        if configuration.engine != LOCAL and not configuration.engine.startswith("dask://"):
            raise WorkspaceInvalid(f'{path}: engine must be "{LOCAL}" or dask://host:port, got {configuration.engine!r}')
        if configuration.anchor and not ("://" in configuration.anchor or configuration.anchor.startswith("/")):
            raise WorkspaceInvalid(f'{path}: anchor must be an absolute path, a URL or "", got {configuration.anchor!r}')
        try:
            configuration.networks  # noqa: B018
        except ValueError as error:
            raise WorkspaceInvalid(f"{path}: webhook_networks must be networks such as 10.0.0.0/8: {error}") from error
        try:
            configuration.off  # noqa: B018
        except ValueError as error:
            raise WorkspaceInvalid(f"{path}: days_off: {error}") from error
        if configuration.smtp and not re.fullmatch(r"smtps?://([^\s:@/]+@)?[^\s:@/]+(:\d{1,5})?", configuration.smtp):
            raise WorkspaceInvalid(f"{path}: smtp must be smtps://user@host:port, smtp://user@host:port, without a password")
        public = configuration.public_url
        if public and not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*[^\s@?#/])?", public):
            raise WorkspaceInvalid(f"{path}: public_url must be like https://forget.example.org, got {public!r}")
        if configuration.mail_from and not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", configuration.mail_from):
            raise WorkspaceInvalid(f"{path}: mail_from must be an e-mail address, got {configuration.mail_from!r}")
        return configuration

    @property
    def networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """The networks inside to which webhooks may go."""
        return [ipaddress.ip_network(part.strip()) for part in self.webhook_networks.split(",") if part.strip()]

    @property
    def off(self) -> DaysOff:
        """The days on which no deadline ends."""
        return DaysOff.read(self.days_off)

    @staticmethod
    def change(path: Path, name: str, value: str) -> None:
        """Changes the setting ``name`` in the file at ``path``, and leaves everything else in it as it is."""
        line, text = f"{name} = {json.dumps(value)}", path.read_text(encoding="utf-8")
        lines = [line if re.match(rf"\s*[\"']?{name}[\"']?\s*=", old) else old for old in text.splitlines()]
        write_file(path, "\n".join([*([] if line in lines else [line]), *lines, ""]).encode())

    def write(self, path: Path) -> None:
        """Writes the commented file, with ``database`` changed if another one was chosen."""
        write_file(path, TEXT.replace(Configuration.database, self.database).encode())
