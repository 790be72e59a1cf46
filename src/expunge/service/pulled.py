"""Pulled: a release leaves the house only after it is recorded with which token."""

from fastapi import Request

from expunge.ledger import pulls
from expunge.service.access import Caller
from expunge.service.api.answers import require_model, workspace_of
from expunge.workspace.exports.export import Exported, Format, exported
from expunge.workspace.exports.sql import Dialect


def note_pull(request: Request, certificate: int, caller: Caller) -> None:
    """Records that a release is handed out. It is not handed out if that cannot be recorded.

    Args:
        request: the call.
        certificate: the release's number among all.
        caller: who gets it.
    """
    database = workspace_of(request).storage.database
    with database.reading() as connection:
        is_noted = pulls.is_noted(connection, certificate, caller.holder.id)
    if not is_noted:
        with database.writing() as connection:
            pulls.note(connection, certificate, caller.holder.id)


def handed_out(request: Request, name: str, form: Format, dialect: Dialect, table: str, caller: Caller) -> Exported:
    """The newest release of a model for use elsewhere, recorded; 404 if there is no such model.

    Raises:
        ImportError: a package that the form needs is not installed here.
        NotWritable: the form cannot hold it.
    """
    require_model(request, name)
    found = exported(workspace_of(request).storage, name, form, dialect=dialect, table=table)
    note_pull(request, found.certificate, caller)
    return found
