"""Operations: whatever can be done to a workspace, each with what must hold once it was interrupted and recovered."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from expunge.data.hashed_ids import HashedId
from expunge.errors import WorkspaceInvalid
from expunge.evidence.statements import digest
from expunge.ledger import releases, requests, tokens
from expunge.ledger.properties import read_property
from expunge.ledger.requests import RequestKind, RequestState
from expunge.unlearning.storage import load_unlearner
from expunge.workspace import Workspace, drafts, handling, recovery, row_keys
from expunge.workspace.asking import ForgetRequest
from expunge.workspace.doctor import examine
from expunge.workspace.recovery import moved
from expunge.workspace.schedules import RefitCause
from expunge.workspace.status import status
from expunge.workspace.storage import UNFINISHED, Storage
from expunge.workspace.suppressing import GivenList
from tests.forks import once
from tests.workspace.moments import watched
from tests.workspace.people import SCHEMA, people, with_mail, workspace

MAKING = ("init", "init again")
"""Operations that make a workspace, the second where an earlier one was killed."""
SPECIAL = ("aside", "draft", "scheduled", "suppress")
"""Operations that start from a workspace of their own."""
RECOVERING = ("recover moved", "recover older", "recover anchors")
"""Operations by which somebody confirms that a workspace is to go on: a copied folder; one without its witness; one without its
public keys and checkpoint."""
LATER = 77
"""Visits that nobody has but in rows that replace others."""
MAIL = HashedId("mail", "lower", "sha256")
LISTED = [MAIL.of(f"{name}@example.org") for name in ("person-3", "person-4", "nobody")]
"""A list of hashed ids, of two people and of nobody."""
RESTRICT = ForgetRequest("person-3", "local", kind=RequestKind.RESTRICT)
ENDS = {"restrict": RequestState.RESTRICTED, "lift": RequestState.LIFTED}
"""How requests end that are not about forgetting."""
RARE = "Malta"
"""A country of just ten people, person-3 among them."""


def prepare(operation: str, folder: Path) -> None:
    """What every round of ``operation`` starts from: mostly two models, one person forgotten and one waiting to be."""
    if operation in (*MAKING, *SPECIAL):
        make(operation, folder)
        return
    shutil.copytree(once("usual", lambda usual: make(operation, usual)), folder, dirs_exist_ok=True)
    if operation == "upsert":
        moved(Storage(folder / "ws"))
        Workspace.open(folder / "ws").declare_row_key(["who", "age"])
        other = people(60, 40).slice(20, 2)
        pq.write_table(other.set_column(5, "visits", pa.array([LATER, LATER])), folder / "upsert.parquet")
    if operation == "lift":
        moved(Storage(folder / "ws"))
        found = Workspace.open(folder / "ws")
        found.ask([RESTRICT])
        found.process()


def make(operation: str, folder: Path) -> None:
    """The workspace from which ``operation`` starts."""
    folder.mkdir(exist_ok=True)
    if operation in MAKING:
        pq.write_table(people(60, 40), folder / "people.parquet")
        (folder / "schema.toml").write_text(SCHEMA)
        if operation == "init again" and not (child := os.fork()):
            with watched("within DeltaTable.create_write_transaction", []):
                _make(folder)
            os._exit(1)
        elif operation == "init again":
            assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        return
    if operation == "suppress":
        made = workspace(folder, models=False, table=with_mail(people(60, 40)), hashed=(str(MAIL),))
        made.forget(["person-1"])
        made.process()
        made.forget(["person-2"])
        return
    table = people(400, 250) if operation == "aside" else people(60, 40)
    if operation == "aside":  # see test_domains: its rounding alone eats the budget of "big" in five releases
        large = np.random.default_rng(1).normal(size=len(table)) * 1e6
        table = table.append_column("big", pa.array(large))
    if operation == "draft":
        table = table.append_column("country", _countries(table))
    made = workspace(folder, models=False, table=table, schema=None if operation == "draft" else SCHEMA)
    if operation == "scheduled":
        settings = made.storage.configuration_path
        settings.write_text(settings.read_text().replace("refit_requests = 200", "refit_requests = 2"))
        made = Workspace.open(made.storage.path)
    if operation != "draft":  # a model fitted with a draft keeps what it took from it
        made.fit("churn", "churn", delta=1e-5)
    if operation == "aside":
        made.fit("big", "big", model="ridge", sigma=6e-4)
        for number in range(10, 14):
            made.forget([f"person-{number}"])
            made.process()
    elif operation != "draft":
        made.fit("visits", "visits", model="ridge", sigma=0.05)
    made.forget(["person-1"])
    made.process()
    if operation == "aside":
        made.forget(["person-14"])
        assert list(made.process().aside) == ["big"]
    made.forget(["person-2"])
    new = people(5, 5, seed=1)
    pq.write_table(new.set_column(0, "who", pa.array([f"new-{i}" for i in range(5)])), folder / "new.parquet")
    right = new.slice(0, 1).set_column(0, "who", pa.array(["person-5"]))
    pq.write_table(right, folder / "right.parquet")
    if operation == "scheduled":  # the second release since the fit
        made.append(str(folder / "new.parquet"))


def operate(operation: str, folder: Path, acknowledge: Callable[[str], None]) -> None:
    """Does one thing to the workspace in ``folder``; tells what it was promised."""
    if operation in MAKING:
        _make(folder)
        acknowledge("done")
        return
    found = Workspace.open(folder / "ws")
    if operation in RECOVERING:
        _recover(operation, found.storage)
    elif operation in ("forget", "draft", "aside"):
        for answer in found.forget(["person-3", "person-4"]):
            acknowledge(answer.request)
        found.process()
    elif operation == "suppress":
        for answer in found.suppression.add(GivenList("drop", MAIL, LISTED, range(1, 4))).answers:
            acknowledge(answer.request)
    elif operation == "restrict":
        acknowledge(found.ask([RESTRICT])[0].request)
        found.process()
    elif operation == "lift":
        with found.storage.database.reading() as connection:
            (standing,) = (row for row in requests.asked(connection) if row.is_standing)
        handling.lift(found.storage, standing.id, "settled", "local", is_informed=True)
        acknowledge(standing.id)
        found.process()
    elif operation == "append":
        found.append(str(folder / "new.parquet"))
    elif operation == "upsert":
        found.append(str(folder / "upsert.parquet"), upsert=True)
    elif operation == "widen":
        found.widen("tenure", "number")
    elif operation == "rectify":
        found.rectify("person-5", str(folder / "right.parquet"))
    elif operation == "fit":
        found.fit("spend", "spend", model="ridge", sigma=0.05)
    elif operation == "refit":
        found.refit("churn")
    elif operation == "scheduled":
        found.process()
    elif operation == "replace":
        found.replace("visits", sigma=0.1)
    elif operation == "retire":
        found.retire("visits")
    elif operation == "rotate":
        found.rotate_key()
    elif operation == "row-key":
        found.declare_row_key(["who", "age"])
    elif operation == "token":
        with found.storage.database.writing() as connection:
            tokens.issue(connection, "Ann", "operator")
    elif operation == "cancel":
        with found.storage.database.reading() as connection:
            (waiting,) = requests.waiting(connection)
        found.cancel(waiting.id)
    acknowledge("done")


def check(operation: str, folder: Path, acknowledged: list[str]) -> str | None:
    """What is wrong after recovery, if anything."""
    is_done = "done" in acknowledged
    if operation in MAKING and (wrong := _made_again(folder, is_done)):
        return wrong
    if operation in RECOVERING and recovery.diagnose(Storage(folder / "ws")):
        if is_done:
            return "what was confirmed stands in the way again"
        _recover(operation, Storage(folder / "ws"))
    found = Workspace.open(folder / "ws")
    storage = found.storage
    orphans = []
    with storage.database.reading() as connection:
        known = {row.state_digest for row in releases.all_releases(connection)}
    for path in storage.models.rglob("*.safetensors"):
        if not path.name.startswith(".") and digest(path.read_bytes()) not in known:
            secret = load_unlearner(path)._secret
            orphans.append(secret.release.weights - secret.point)
    found.process()
    if operation == "aside":
        if wrong := _waits(found, acknowledged):
            return wrong
        found.retire("big")
    for finding in examine(storage):
        if finding.problem:
            return f"{finding.check}: {finding.problem}"
    with storage.database.reading() as connection:
        for request in set(acknowledged) - {"done"}:
            row = requests.by_id(connection, request)
            if row is None or row.state != ENDS.get(operation, "closed"):
                return f"acknowledged request {request} is {row and row.state}"
        entries = connection.execute(sa.text("SELECT entry FROM events WHERE kind = 'batch.certified'")).scalars()
        certified = [request for entry in entries for request in json.loads(entry)["requests"]]
        if len(certified) != len(set(certified)):
            return "a request was certified twice"
        models = {row.name: releases.current(connection, row.name) for row in releases.all_models(connection)}
        cancelled = connection.execute(sa.text("SELECT count(*) FROM requests WHERE state = 'cancelled'")).scalar_one()
        made = json.loads(read_property(connection, drafts.DRAFT) or "[]")
        holders = [(token.name, token.role) for token in tokens.listed(connection)]
        row_key = read_property(connection, row_keys.ROW_KEY)
    for name in models:
        secret = load_unlearner(storage.state_path(name, models[name].number))._secret
        noise = secret.release.weights - secret.point
        if any(other.shape == noise.shape and np.allclose(other, noise, rtol=0, atol=1e-12) for other in orphans):
            return f"{name}: noise drawn for a release that never was is used again"
    people_left = set(storage.table.subjects().to_pylist())
    if operation == "cancel" and is_done and not cancelled:
        return "a cancelled request is not cancelled"
    gone = {1: True, 2: not cancelled, 3: operation in ("forget", "draft", "aside") and len(acknowledged) > 0}
    for number in gone if operation not in MAKING else ():
        if gone[number] and storage.subject_key.pseudonym(f"person-{number}") in people_left:
            return f"person-{number} is still there"
    if cancelled and storage.subject_key.pseudonym("person-2") not in people_left:
        return "person-2 was forgotten, whose request was cancelled"
    if operation == "suppress":
        kept = [(each.entries, each.matched) for each in found.suppression.lists()]
        left = [number for number in (3, 4) if storage.subject_key.pseudonym(f"person-{number}") in people_left]
        if (kept, left) != (([(3, 2)], []) if kept else ([], [3, 4])) or (is_done and not kept):
            return f"of a list that was imported, {kept} is kept, and {left} are not forgotten"
    if operation in ENDS and storage.subject_key.pseudonym("person-3") not in people_left:
        return "rows are lost whose processing was restricted"
    if operation == "append" and is_done and storage.subject_key.pseudonym("new-0") not in people_left:
        return "appended rows are lost"
    if operation == "upsert" and is_done and storage.table.distinct("visits", 99).count(LATER) != 1:
        return "rows that were replaced are the old ones"
    if operation == "widen" and is_done and storage.table.columns.field("tenure").type != pa.float64():
        return "a column that was widened is as it was"
    if operation == "token" and is_done and holders != [("Ann", "operator")]:
        return "a token that was issued is lost"
    if operation == "row-key" and is_done and json.loads(row_key or "null") != ["who", "age"]:
        return "a row key that was declared is lost"
    if operation == "fit" and is_done and "spend" not in models:
        return "a fitted model is lost"
    if operation == "retire" and is_done and "visits" in models:
        return "a retired model is there still"
    if operation == "replace" and is_done and json.loads(models["visits"].evidence)["sigma"] != 0.1:
        return "a replaced model is the old one"
    if operation == "scheduled":
        for model in status(storage).models:
            last = model.last_refit
            if model.next_refit is not None or last is None or last.cause != RefitCause.RELEASES or not last.resets_budget:
                return f"the scheduled refit of {model.name} is not done: {model.refits}"
            if model.release != 5:  # fitted; person-1, rows, person-2; refitted
                return f"{model.name} has {model.release} releases"
    if operation == "draft":
        text = storage.schema_path.read_text()
        if digest(text) not in made:
            return "the draft counts as edited, which nobody has"
        if gone[3] and RARE in text:
            return "the draft holds what nine people share"
    return None if storage.table.count() else "no rows are left"


def _recover(operation: str, storage: Storage) -> None:
    """Loses what the operation is about, and confirms that this is to go on without."""
    if operation == "recover moved":
        recovery.moved(storage)
    elif operation == "recover older":
        storage.witness_path.unlink(missing_ok=True)
        recovery.older(storage)
    else:
        for path in (storage.public_key_path, storage.checkpoint_path):
            path.unlink(missing_ok=True)
        recovery.anchors(storage)


def _make(folder: Path) -> None:
    Workspace.create(folder / "ws", str(folder / "people.parquet"), "who", schema=folder / "schema.toml")


def _made_again(folder: Path, is_done: bool) -> str | None:
    """What is wrong once a workspace was made where making one may have been interrupted."""
    storage = folder / "ws"
    if (storage / UNFINISHED).exists():
        with pytest.raises(WorkspaceInvalid, match="was interrupted: run expunge init, or restore, again"):
            Workspace.open(storage)
    is_whole = storage.is_dir() and any(storage.iterdir()) and not (storage / UNFINISHED).exists()
    if is_done and not is_whole:
        return "a workspace that was made is lost"
    if not is_whole:
        _make(folder)
    beside = {path.name for path in folder.iterdir()} - {"ws", "people.parquet", "schema.toml", "said", "lines", "moments"}
    keys = sorted(path.suffix for path in (storage / "keys").iterdir())
    if beside or keys != [".key", ".key", ".pem"] or any((storage / "models").iterdir()):
        return f"left lying: {beside}, {keys}"
    if any(path.name.startswith(".") for path in storage.rglob("*")):
        return "something hidden is left lying"
    if Workspace.open(storage).storage.table.count() != 60:
        return "the workspace does not hold the rows that it was made from"
    return None


def _waits(found: Workspace, acknowledged: list[str]) -> str | None:
    """What is wrong with requests that one model has answered and one that is set aside has not."""
    with found.storage.database.reading() as connection:
        by = requests.forgetting(connection)
        states = {request: requests.by_id(connection, request) for request in set(acknowledged) - {"done"}}
        aside = [row.name for row in releases.all_models(connection) if row.aside]
    if aside != ["big"]:
        return f"set aside are {aside}"
    for request, row in states.items():
        if row is None or row.state != "accepted" or set(by.get(request, ())) != {"churn"}:
            return f"request {request} is {row and row.state}, answered by {set(by.get(request, ()))}"
    return None


def _countries(table: pa.Table) -> pa.Array:
    """Ten people live in ``RARE``; each country but that is of more than enough."""
    rare = {f"person-{number}" for number in range(3, 13)}
    return pa.array([RARE if name in rare else "France" for name in table["who"].to_pylist()])
