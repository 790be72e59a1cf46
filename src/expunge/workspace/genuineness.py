"""Genuineness: whether a release's certificate is signed, in the log, and agrees with all that the ledger has beside it."""

import json

import sqlalchemy as sa

from expunge.errors import LedgerCorrupt
from expunge.evidence.bundles import verify_bundle
from expunge.evidence.checks import Passed, untold
from expunge.evidence.receipts import committed
from expunge.evidence.signing import PublicKeys
from expunge.evidence.statements import SCHEMA_PRIVACY, Statement, digest
from expunge.ledger import log, releases
from expunge.ledger.bindings import require_bound
from expunge.ledger.releases import Release
from expunge.unlearning.certificate import Certificate
from expunge.workspace.specification import Specification


def require_genuine(connection: sa.Connection, row: Release, keys: PublicKeys, passed: Passed = untold) -> Statement:
    """What the certificate of ``row`` says, exactly as it was signed.

    Args:
        connection: a connection to the ledger's database.
        row: the release.
        keys: the public keys of the workspace.
        passed: told of each check that passed. Default: nobody.

    Raises:
        SignatureInvalid: it is not signed, or not in the log.
        LedgerCorrupt: the ledger does not agree with it.
    """
    where = f"release {row.number} of {row.model}"
    statement = verify_bundle(json.loads(log.bundle(connection, row.envelope, row.event)), keys, passed)
    predicate = statement.predicate
    if predicate["evidence"] != digest(row.evidence):
        raise LedgerCorrupt(f"the evidence of {where} is not what its certificate commits to")
    passed("the evidence is that whose digest was signed")
    require_bound(connection, row)
    passed("the requests and the specification of the model are those that were signed")
    certificate = Certificate.from_json(row.evidence)
    if {**predicate, **certificate.public()} != predicate:
        raise LedgerCorrupt(f"the evidence of {where} does not say what its certificate says")
    model = releases.model(connection, row.model)
    if model is not None and predicate["schema"] == committed(model.salt, model.name, model.specification):
        privacy = Specification.from_json(model.specification).privacy
        if {name: predicate[name] for name in (SCHEMA_PRIVACY,) if name in predicate} != privacy:
            raise LedgerCorrupt(f"the certificate of {where} does not say how private its schema is")
    if row.weights is not None:
        if digest(row.weights) != certificate.weights_digest:
            raise LedgerCorrupt(f"the weights of {where} are not those certified")
        passed("the weights here are those that were certified")
    return statement
