"""Papers for the people who ask: a letter with their receipt, and the certificate once they are forgotten. Each is one A4 page.

A paper holds what its person may know: the request, its days, the receipt, the published claims. It holds no id, no figure that
depends on anybody's rows, and nothing about other people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from typing import Any

import sqlalchemy as sa
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from expunge.errors import LedgerCorrupt, SignatureInvalid
from expunge.ledger import releases, requests, times
from expunge.ledger.cases import ERASED, Extension, Ground
from expunge.ledger.requests import Request, RequestKind, RequestState
from expunge.service.codes import drawn
from expunge.service.words import written
from expunge.workspace.genuineness import require_genuine
from expunge.workspace.storage import Storage

STYLE = (files("expunge.service") / "static" / "letter.css").read_text(encoding="utf-8")
templates = Environment(
    loader=PackageLoader("expunge.service"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
)
templates.filters["written"] = written
NAMED = 12
"""Number of models that a certificate names; of more, the number is said, and its page remains one."""


@dataclass(frozen=True)
class House:
    """Who writes.

    Args:
        letterhead: name, address and how to be reached, in lines.
        url: where people reach the service.
        is_set: whether the address is the one in the settings, and not that of somebody's browser.
    """

    letterhead: str
    url: str
    is_set: bool

    @classmethod
    def of(cls, storage: Storage, seen: str) -> "House":
        """The house as its settings say.

        Args:
            storage: the workspace.
            seen: the address of the service in the caller's browser, without a slash at its end.
        """
        settings = storage.configuration
        return cls(settings.letterhead, settings.public_url or seen, bool(settings.public_url))


@dataclass(frozen=True)
class Answering:
    """A published claim that answers a request.

    Args:
        certificate: number of the certificate.
        claim: what it says, as it was signed.
    """

    certificate: int
    claim: Mapping[str, Any] = field(repr=False)


GROUNDS = {
    Ground.EXPRESSION: "the data are needed for freedom of expression and information (Art. 17(3)(a) GDPR)",
    Ground.LEGAL_OBLIGATION: "we must keep the data to meet a legal obligation or a public task (Art. 17(3)(b) GDPR)",
    Ground.PUBLIC_HEALTH: "the data are needed for public health (Art. 17(3)(c) GDPR)",
    Ground.ARCHIVING: "the data are needed for archiving, research or statistics (Art. 17(3)(d) GDPR)",
    Ground.LEGAL_CLAIMS: "the data are needed for legal claims (Art. 17(3)(e) GDPR)",
    Ground.NO_GROUND: "none of the grounds of Art. 18(1) GDPR applies",
    Ground.UNFOUNDED: "the request is manifestly unfounded (Art. 12(5) GDPR)",
    Ground.EXCESSIVE: "the request is excessive (Art. 12(5) GDPR)",
}
"""Why an officer refused a request, as a letter says it."""
EXTENSIONS = {Extension.COMPLEXITY: "it is complex", Extension.MANY: "we have many requests"}
"""Why a deadline was extended, as a letter says it."""


def day(text: str) -> str:
    """A day as a letter writes it: 3 November 2026."""
    found = date.fromisoformat(text[:10])
    return f"{found.day} {found:%B %Y}"


def letter(
    house: House,
    row: Request,
    receipt: str,
    to: str = "",
    reference: str | None = None,
    *,
    is_alone: bool = False,
    root: str = "",
) -> str:
    """The letter that confirms a request, or that says what has become of it, with its receipt; an HTML page.

    Args:
        house: who writes.
        row: the request.
        receipt: its receipt, as a file.
        to: name and address of the person, in lines; they are printed, and kept nowhere.
        reference: the office's own.
        is_alone: whether the page is a file of its own, with its style in it and without links to the service.
        root: path under which the service is reached, for its links.
    """
    return _page(
        "letter.html",
        house=house,
        row=row,
        receipt=receipt,
        to=to,
        reference=reference,
        code=drawn(receipt, "The receipt as a code"),
        style=Markup(STYLE) if is_alone else None,
        root=root,
    )


def certificate(house: House, row: Request, answering: Sequence[Answering], root: str = "") -> str:
    """The certificate for the person whose request was closed; an HTML page.

    Args:
        house: who writes.
        row: the request.
        answering: the certificates that answer it, each found to be genuine.
        root: path under which the service is reached, for its links.
    """
    link = f"{house.url}/verify?request={row.id}"
    code = drawn(link, "The address of the page on which this can be checked")
    return _page("paper.html", house=house, row=row, answering=answering, named=NAMED, link=link, code=code, root=root)


def answers(storage: Storage, connection: sa.Connection, row: Request) -> list[Answering]:
    """The certificates that answer a request, each checked now.

    Raises:
        LedgerCorrupt: one of them is not genuine.
    """
    keys, found = storage.public_keys(connection), list[Answering]()
    for number in requests.releases_of(connection, row):
        made = releases.release(connection, number)
        assert made is not None  # a release is never deleted
        try:
            found.append(Answering(number, require_genuine(connection, made, keys).predicate))
        except SignatureInvalid as error:
            raise LedgerCorrupt(f"certificate {number} is not genuine: {error}") from error
    return found


def _page(name: str, **values: Any) -> str:
    words = {"day": day, "today": day(times.now().isoformat()), "GROUNDS": GROUNDS, "EXTENSIONS": EXTENSIONS, "ERASED": ERASED}
    kinds = {"RequestKind": RequestKind, "RequestState": RequestState}
    return templates.get_template(name).render(**words, **kinds, **values)
