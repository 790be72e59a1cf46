"""Workspace: the interface for the command line and the service. Design §1, §4; people's rows, models, evidence."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from expunge.data.reading import UNKNOWN, Reading
from expunge.data.records import Records
from expunge.data.rejects import Rejects
from expunge.evidence.receipts import Receipt
from expunge.files import write_output
from expunge.identities import CASELESS, EXACT
from expunge.unlearning.report import CapacityReport
from expunge.workspace import batch, desk, handling, making, predicting, queue, rotation, row_keys, states
from expunge.workspace.arrivals import read_schema
from expunge.workspace.asking import Answer, ForgetRequest
from expunge.workspace.batch import Done, Outcome
from expunge.workspace.cases import NO_CASE, Case
from expunge.workspace.correcting import corrected
from expunge.workspace.disclosure import Disclosure, disclosed
from expunge.workspace.expectations import Expected
from expunge.workspace.filling import IdColumns, Origin, fill
from expunge.workspace.options import How, Taking
from expunge.workspace.plans import Appended, Plan, Plans, carried_out, looking
from expunge.workspace.predicting import Predictions
from expunge.workspace.preview import Preview, preview
from expunge.workspace.quality.quality import Quality
from expunge.workspace.queue import Processed
from expunge.workspace.states import Notify, silent
from expunge.workspace.storage import PATIENCE, Storage
from expunge.workspace.suppressing import Suppression


class Workspace:
    """The workspace in a folder; use ``create`` or ``open``.

    Args:
        storage: the folder and its contents.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        data: str,
        subject: str,
        *,
        aliases: Sequence[str] = (),
        hashed_aliases: Sequence[str] = (),
        ignore_case: bool = False,
        query: str | None = None,
        reading: Reading = UNKNOWN,
        schema: str | os.PathLike[str] | None = None,
        database: str | None = None,
        row_key: Sequence[str] = (),
        private: float | None = None,
        notify: Notify = silent,
    ) -> "Workspace":
        """A new workspace in the folder ``path``, all of it or nothing.

        Args:
            path: a folder that is empty or does not exist.
            data: a file of rows (text, Excel, Parquet), a folder of Parquet files, or a database URL with ``query``.
            subject: the column that says to whom a row belongs.
            aliases: columns with other ids of the same person. Default: none.
            hashed_aliases: hashes by which people on lists are found, as ``sha256(lower(email))``. Default: none.
            ignore_case: whether ids that differ only in the case of letters are the same. Default: ``False``.
            query: SQL whose result is the rows; ``data`` is then the URL of the database.
            reading: what is known about the file; the rest is detected. What it says about values holds for later files too.
            schema: TOML file of the feature schema; without it, one is drafted from rows throughout the file.
            database: URL of an empty database for the ledger; without it, the ledger is a file in the folder.
            row_key: see ``declare_row_key``.
            private: ε for which the schema is proposed with differential privacy for each person. Default: a draft.
            notify: told what was understood of the file. Default: nobody.

        Raises:
            InvalidRows: the rows cannot be read, or have no subject.
            WorkspaceInvalid: the folder or the database is in use or cannot be written to, or the row key does not fit.
            ValueError: both a schema and ``private``, or ε is not positive and finite, or an impossible hash.
        """
        with making.folder(Path(path)) as (storage, identity):
            ids = IdColumns.of(subject, aliases, hashed_aliases, CASELESS if ignore_case else EXACT)
            features = None if schema is None else read_schema(Path(schema))
            fill(storage, identity, Origin(data, query, reading), ids, features, database, row_key, notify, private)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Workspace":
        """The workspace in the folder ``path``.

        Args:
            path: the workspace's folder.

        Raises:
            WorkspaceInvalid: there is none, or a part of it cannot be used.
        """
        storage = Storage(Path(path))
        storage.configuration  # noqa: B018  # says if there is no workspace
        return cls(storage)

    def planned(self, make: Callable[[Plans], Plan[Expected]]) -> Plan[Expected]:
        """What a command would do; nothing is changed.

        Args:
            make: asks for the plan of the command.

        Raises:
            WorkspaceInvalid: a batch was interrupted.
        """
        with looking(self.storage) as plans:
            return make(plans)

    def fit(
        self, name: str, target: str, *, accept_undeclared: bool = False, notify: Notify = silent, **how: Unpack[How]
    ) -> Outcome:
        """Fits a new model and makes its first release; people who have asked to be forgotten are left out.

        Args:
            name: lower-case letters, digits, ``.``, ``_`` and ``-``.
            target: the column to predict.
            accept_undeclared: whether any share of a column may be outside what the schema declares.
            notify: told how much is outside.
            how: see ``How``.

        Raises:
            InvalidRows, NoOptimum, CapacityExceeded: the rows cannot be fitted.
            ValueError: an impossible name, parameter or kind.
            WorkspaceInvalid: a model of this name exists, or existed.
        """
        with batch.in_charge(self.storage):
            plan = Plans(self.storage).fit(name, target, how, accept_undeclared=accept_undeclared)
            return self._run(plan, notify).outcomes[0]

    def replace(self, name: str, *, accept_undeclared: bool = False, notify: Notify = silent, **how: Unpack[How]) -> Outcome:
        """Fits ``name`` anew from the present schema, as another model with its own budget; its releases are withdrawn.

        People who have asked to be forgotten are left out. For people in both models, the privacy losses add up (theory §5.4).

        Args:
            name: name of the model.
            accept_undeclared: as for ``fit``.
            notify: as for ``fit``.
            how: what is to change; see ``How``.

        Raises:
            InvalidRows, NoOptimum, CapacityExceeded: the rows cannot be fitted.
            ValueError: an impossible parameter or kind.
            WorkspaceInvalid: there is no such model.
        """
        with batch.in_charge(self.storage):
            return self._run(Plans(self.storage).replace(name, how, accept_undeclared=accept_undeclared), notify).outcomes[0]

    def retire(self, name: str) -> int:
        """Withdraws a model for good: its releases and its state are destroyed. Returns the number of requests closed by that.

        Args:
            name: name of the model.

        Raises:
            WorkspaceInvalid: there is no such model.
        """
        with batch.in_charge(self.storage):
            return len(self._run(Plans(self.storage).retire(name), silent).closed)

    def refit(self, name: str, *, notify: Notify = silent) -> Outcome:
        """A release of ``name`` from a new anchor, which depends on nobody forgotten; the budget is reset only if that is due.

        Args:
            name: name of the model.
            notify: told how many values are outside the schema. Default: nobody.

        Raises:
            WorkspaceInvalid: there is no such model.
        """
        with batch.in_charge(self.storage):
            return self._run(Plans(self.storage).refit(name), notify).outcomes[0]

    def capacity(self, name: str) -> CapacityReport:
        """How much of the model's capacity to forget is used, and a forecast of what is left.

        Args:
            name: name of the model.

        Raises:
            WorkspaceInvalid: there is no such model.
            ValueError: it was fitted with sigma 0.
        """
        return states.state_of(self.storage, name).capacity(states.sample_of(self.storage, name))

    def predict(self, name: str, data: Any, query: str | None = None, *, reading: Reading = UNKNOWN) -> Predictions:
        """What the newest release of ``name`` predicts for rows, which are not stored; see ``predicting``.

        Args:
            name: of the model.
            data: a file, a folder of Parquet files, or with ``query`` the URL of a database; or a pandas or Polars frame, a
                pyarrow table or a mapping of columns.
            query: SQL whose result is the rows.
            reading: what is known of the file, beside what was known when the workspace was made.

        Raises:
            WorkspaceInvalid: no such model.
            InvalidRows: rows that cannot be read, have not all columns of the schema, or are none.
        """
        return predicting.predict(self.storage, name, data, query, reading)

    @property
    def quality(self) -> Quality:
        """How large models are, how good, and why; see ``Quality``."""
        return Quality(self.storage)

    def forget(
        self,
        subjects: Sequence[str],
        *,
        actor: str = "local",
        keys: Mapping[str, str] | None = None,
        by: str | None = None,
        dry_run: bool = False,
    ) -> list[Answer]:
        """Answers requests to forget ``subjects``; ``process`` then does it. See ``desk.ask``.

        Args:
            subjects: ids of people, from any id column.
            actor: who asks.
            keys: idempotency keys by subject.
            by: the column of the ids, where it must be given.
            dry_run: only find out what the answers would be.
        """
        return self.ask([ForgetRequest(each, actor, (keys or {}).get(each), by) for each in subjects], dry_run=dry_run)

    def ask(self, wishes: Sequence[ForgetRequest], *, dry_run: bool = False) -> list[Answer]:
        """Answers requests to be forgotten, in order; see ``desk.ask``.

        Args:
            wishes: who is to be forgotten, and who asks, all in one call.
            dry_run: only find out what the answers would be. Default: ``False``.
        """
        return desk.ask(self.storage, desk.together(self.storage, wishes), dry_run=dry_run)

    @property
    def id_columns(self) -> tuple[str, ...]:
        """The columns of ids: the subject's, then its aliases."""
        return row_keys.id_names(self.storage)

    def cancel(self, request: str, *, reason: str = "person", actor: str = "local", dry_run: bool = False) -> None:
        """Withdraws an accepted request; see ``handling``, which has what else officers do.

        Args:
            request: id of the request.
            reason: why: ``person``, ``mistake``, ``duplicate`` or ``other``.
            actor: who does it.
            dry_run: only find out whether it can be withdrawn. Default: ``False``.
        """
        handling.withdraw(self.storage, request, reason, actor, dry_run=dry_run)

    def receipt(self, request: str, subject: str) -> Receipt:
        """The receipt of a request, again; see ``desk.receipt_again``.

        Args:
            request: id of the request.
            subject: the id for which the request was made.
        """
        return desk.receipt_again(self.storage, request, subject)

    def show(self, subject: str, *, by: str | None = None, actor: str = "local") -> Disclosure:
        """What is held about one person; see ``disclosure.disclosed``.

        Args:
            subject: the person's id.
            by: the column of the id. Default: any.
            actor: who looks, for the log. Default: ``"local"``.
        """
        return disclosed(self.storage, subject, by, actor)

    def preview(self, wishes: Sequence[ForgetRequest]) -> Preview:
        """What requests would affect.

        Args:
            wishes: the people considered.
        """
        return preview(self.storage, wishes)

    @property
    def suppression(self) -> Suppression:
        """Lists of hashed ids of people whose later rows are left out; see ``Suppression``."""
        return Suppression(self.storage)

    def rectify(
        self,
        subject: str,
        data: str | Records,
        *,
        reading: Reading = UNKNOWN,
        accept_undeclared: bool = False,
        actor: str = "local",
        case: Case = NO_CASE,
        notify: Notify = silent,
    ) -> tuple[Answer, list[Outcome]]:
        """Replaces all rows of ``subject`` by those in the file ``data``, in every model and in the table, at once.

        Args:
            subject: id of the person.
            data: a file with all the rows of this person, as they should be; or rows in memory, which have every column.
            reading: what is known about the file, besides what was known when the workspace was made.
            accept_undeclared: whether any share of a column may be outside what the schema declares.
            notify: told how much is outside.
            actor: who asks.
            case: on which day the request came, and how; what is noted of a correction is added with ``handling.note``.

        Raises:
            RequestRefused: no rows here have this id.
            InvalidRows: rows of somebody else, or rows that do not fit.
            WorkUnfinished: they are corrected, but something is left to do.
        """
        with batch.in_charge(self.storage):
            plan = Plans(self.storage).rectify(subject, data, reading=reading, accept_undeclared=accept_undeclared)
            return corrected(self.storage, plan, subject, actor, case, lambda made: self._run(made, notify))

    def append(
        self,
        data: str | Records,
        query: str | None = None,
        *,
        rejects_to: Path | None = None,
        notify: Notify = silent,
        **how: Unpack[Taking],
    ) -> Appended:
        """Learns the rows in the file ``data``, or from a database, in every model; rows that were added before are left out.

        Args:
            data: a file of rows, or with ``query`` the URL of a database; or rows in memory, which have every column.
            query: SQL whose result is the rows; ``data`` is then the URL of the database.
            rejects_to: a CSV file for rows that cannot be taken, written first; without it, such a row is an error.
            how: see ``Taking``.
            notify: told what is odd in the rows.

        Raises:
            InvalidRows: rows that do not fit, or, unless ``returning``, rows of somebody forgotten.
        """
        with batch.in_charge(self.storage):
            rejects = None if rejects_to is None else Rejects()
            plan = Plans(self.storage).append(data, query, rejects=rejects, **how)
            if rejects_to is not None and rejects:
                write_output(rejects_to, rejects.document.encode())
            self.suppression.applied()
            return Appended(plan.expected, self._run(plan, notify).outcomes)

    def declare_row_key(self, columns: Sequence[str]) -> None:
        """Says which columns together name a row: a repeated row is then recognised, and can be replaced by ``append``.

        Args:
            columns: columns that together name a row.

        Raises:
            WorkspaceInvalid: there is no such column, or some rows have the same values or no value in these columns.
        """
        with batch.in_charge(self.storage):
            row_keys.declare(self.storage, columns)

    def widen(self, column: str, to: str) -> None:
        """Gives ``column`` a type that holds more, in all rows; every value stays what it was, and models see no difference.

        Args:
            column: the column whose type is to hold more.
            to: ``number``, with decimals, or ``text``.

        Raises:
            ValueError: it cannot become that type.
            InvalidRows: there is no such column, or a model would see different values.
        """
        with batch.in_charge(self.storage):
            self._run(Plans(self.storage).widen(column, to), silent)

    def process(
        self, notify: Notify = silent, patience: float = PATIENCE, *, is_due: bool = False, heeds_hold: bool = False
    ) -> Processed:
        """Works the whole queue; see ``queue.process``.

        Args:
            notify: told what is done. Default: nobody.
            patience: seconds to wait for another process.
            is_due: leave out what has failed and is not to be tried again yet. Default: ``False``.
            heeds_hold: leave out requests whose hold is not over. Default: ``False``, all are worked now.
        """
        return queue.process(self.storage, notify, patience, is_due=is_due, heeds_hold=heeds_hold)

    def rotate_key(self, *, is_revoked: bool = False) -> str:
        """Signs with a new key from now on, which the old one endorses. Returns the new key's id.

        Args:
            is_revoked: somebody else may have the old key: of what it signed, only what is in the log so far stays valid.
        """
        return rotation.rotate_key(self.storage, is_revoked=is_revoked)

    def _run(self, plan: Plan[Expected], notify: Notify) -> Done:
        return carried_out(self.storage, plan, notify)
