"""Kills a workspace at random and looks at what is left. Run as a process of its own: it forks, and must have no threads.

    python -m tests.workspace.crashes FOLDER OPERATION COUNT SEED [PLANT]

Each round copies a workspace, forks a child that works on it and is killed (kill -9) at a random line of our own code or
after a random time, and forks another that recovers, finishes, and checks. Prints one JSON line a round.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import deltalake  # loaded before the forks, so that no child has to
import dp_accounting.gaussian_mechanism
import duckdb
import numpy as np
import opendp.prelude
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
import sqlalchemy.dialects.sqlite

import expunge
from expunge.data.table import SubjectTable
from expunge.ledger import releases, requests
from expunge.ledger.signing import digest
from expunge.storage import load_unlearner
from expunge.workspace import Workspace, batch, export
from expunge.workspace.doctor import examine
from expunge.workspace.place import Place
from expunge.workspace.recovery import moved
from tests.workspace.people import people, workspace

LOADED = (deltalake, dp_accounting, duckdb, opendp, export)
OURS = tuple(str(Path(expunge.__file__).parent / part) for part in ("workspace", "ledger", "data", "storage.py", "files.py"))


def prepare(folder: Path) -> None:
    """The workspace that every round starts from: two models, one of them with a queue to work."""
    made = workspace(folder, models=False, table=people(60, 40))
    made.fit("churn", "churn", delta=1e-5)
    made.fit("visits", "visits", model="ridge", sigma=0.05)
    made.forget(["person-1"])
    made.process()
    made.forget(["person-2"])
    new = people(5, 5, seed=1)
    pq.write_table(new.set_column(0, "who", pa.array([f"new-{i}" for i in range(5)])), folder / "new.parquet")
    right = new.slice(0, 1).set_column(0, "who", pa.array(["person-5"]))
    pq.write_table(right, folder / "right.parquet")


def operate(operation: str, folder: Path, acknowledge: Callable[[str], None]) -> None:
    """Does one thing to the workspace in ``folder``; tells what it was promised."""
    found = Workspace.open(folder / "ws")
    if operation == "forget":
        for answer in found.forget(["person-3", "person-4"]):
            acknowledge(answer.request)
        found.process()
    elif operation == "append":
        found.append(str(folder / "new.parquet"))
    elif operation == "rectify":
        found.rectify("person-5", str(folder / "right.parquet"))
    elif operation == "fit":
        found.fit("spend", "spend", model="ridge", sigma=0.05)
    elif operation == "refit":
        found.refit("churn")
    elif operation == "rotate":
        found.rotate_key()
    acknowledge("done")


def check(operation: str, folder: Path, acknowledged: list[str]) -> str | None:
    """What is wrong after recovery, if anything."""
    found = Workspace.open(folder / "ws")
    place = found.place
    orphans = []
    with place.database.reading() as connection:
        known = {row.state_digest for row in releases.all_releases(connection)}
    for path in place.models.rglob("*.safetensors"):
        if not path.name.startswith(".") and digest(path.read_bytes()) not in known:
            secret = load_unlearner(path)._secret
            orphans.append(secret.release.weights - secret.point)
    found.process()
    for finding in examine(place):
        if finding.problem:
            return f"{finding.check}: {finding.problem}"
    with place.database.reading() as connection:
        for request in set(acknowledged) - {"done"}:
            row = requests.by_id(connection, request)
            if row is None or row.state != "closed":
                return f"acknowledged request {request} is {row and row.state}"
        entries = connection.execute(sa.text("SELECT entry FROM events WHERE kind = 'batch.certified'")).scalars()
        certified = [request for entry in entries for request in json.loads(entry)["requests"]]
        if len(certified) != len(set(certified)):
            return "a request was certified twice"
        models = {row.name: releases.current(connection, row.name) for row in releases.all_models(connection)}
    for name in models:
        secret = load_unlearner(place.state_path(name, models[name].number))._secret
        noise = secret.release.weights - secret.point
        if any(other.shape == noise.shape and np.allclose(other, noise, rtol=0, atol=1e-12) for other in orphans):
            return f"{name}: noise drawn for a release that never was is used again"
    rows, is_done = place.table.count(), "done" in acknowledged
    people_left = set(place.table.subjects().to_pylist())
    for number, is_gone in ((1, True), (2, True), (3, operation == "forget" and len(acknowledged) > 0)):
        if is_gone and place.subject_key.pseudonym(f"person-{number}") in people_left:
            return f"person-{number} is still there"
    if operation == "append" and is_done and place.subject_key.pseudonym("new-0") not in people_left:
        return "appended rows are lost"
    if operation == "fit" and is_done and "spend" not in models:
        return "a fitted model is lost"
    return None if rows else "no rows are left"


def forked(action: Callable[[], None]) -> int:
    """The pid of a child that does ``action``."""
    pid = os.fork()
    if pid:
        return pid
    try:
        action()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def traced(limit: int, count: list[int]) -> Callable[..., object]:
    """A trace function that kills this process at the ``limit``-th line of our own code."""

    def local(_frame: object, event: str, _argument: object) -> object:
        if event == "line":
            count[0] += 1
            if count[0] == limit:
                os.kill(os.getpid(), signal.SIGKILL)
        return local

    def at_call(frame: object, _event: str, _argument: object) -> object:
        return local if frame.f_code.co_filename.startswith(OURS) else None  # type: ignore[attr-defined]

    return at_call


def worked(operation: str, folder: Path, *, limit: int = 0, file_size: int = 0) -> None:
    """In a child: works, perhaps until killed; what was acknowledged is in ``folder / "said"``."""
    count = [0]

    def acknowledge(text: str) -> None:
        with open(folder / "said", "a") as out:
            out.write(text + "\n")
            out.flush()

    if file_size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    sys.settrace(traced(limit, count))
    try:
        operate(operation, folder, acknowledge)
    except expunge.ExpungeError as error:
        if not file_size:
            raise AssertionError("refused without a reason to") from error
    finally:
        sys.settrace(None)
    if not file_size:
        (folder / "lines").write_text(str(count[0]))


def main(folder: Path, operation: str, rounds: int, seed: int, plant: str = "") -> None:
    """Plays the rounds; prints a JSON line for each. ``plant`` breaks the recovery, to show that the rounds notice."""
    if plant == "no-rollback":
        batch._abandon = lambda _place, _batch: None
    elif plant == "no-erasure":
        SubjectTable.delete = lambda _table, _files: None
    rng = np.random.default_rng(seed)
    template = folder / "template"
    template.mkdir(parents=True)
    assert os.waitpid(forked(lambda: prepare(template)), 0)[1] == 0
    lines, duration = 0, 0.0
    for number in range(rounds + 1):  # the first is not killed: it tells how long the operation is
        place = folder / f"round-{number}"
        shutil.copytree(template, place)
        assert os.waitpid(forked(lambda: moved(Place(place / "ws"))), 0)[1] == 0  # noqa: B023
        kind = "none" if number == 0 else ("line", "time", "line", "disk-full")[number % 4]
        limit = int(rng.integers(1, lines + 1)) if kind == "line" else 0
        size = int(rng.integers(1_000, 60_000)) if kind == "disk-full" else 0
        (place / "said").touch()
        started = time.monotonic()
        child = forked(lambda: worked(operation, place, limit=limit, file_size=size))  # noqa: B023
        if kind == "time":
            time.sleep(float(rng.uniform(0.0, duration)))
            os.kill(child, signal.SIGKILL)
        _pid, ended = os.waitpid(child, 0)
        if number == 0:
            assert ended == 0
            lines, duration = int((place / "lines").read_text()), time.monotonic() - started
        said = (place / "said").read_text().split("\n")[:-1]
        problem = place / "problem"
        checking = forked(lambda: problem.write_text(check(operation, place, said) or ""))  # noqa: B023
        failed = os.waitpid(checking, 0)[1] != 0
        found = "the check itself failed" if failed else problem.read_text()
        result = {"round": number, "kind": kind, "limit": limit or size, "killed": os.WIFSIGNALED(ended), "problem": found}
        print(json.dumps(result), flush=True)
        if not found:
            shutil.rmtree(place)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
