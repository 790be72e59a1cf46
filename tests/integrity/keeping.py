"""Kills backups and restores at a line of our own code and looks at what is left. It forks: in a process without threads.

    python -m tests.integrity.keeping FOLDER OPERATION ROUNDS [DATABASE…]

Prints a JSON line a round. ``restore`` goes to the empty databases that are named, one a round, or to files.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from expunge.errors import ExpungeError, WorkspaceInvalid
from expunge.ledger import register, requests
from expunge.workspace import Workspace
from expunge.workspace.backup import back_up
from expunge.workspace.doctor import examine
from expunge.workspace.restoring import restore
from tests.workspace.crashes import LOADED, forked, traced
from tests.workspace.people import people, workspace

assert LOADED


def prepare(folder: Path) -> None:
    """A workspace with an anchor, its backup, and somebody who was forgotten since."""
    made = workspace(folder, models=False, table=people(60, 40))
    settings = made.storage.configuration_path
    settings.write_text(settings.read_text().replace('anchor = ""', f'anchor = "{folder}/anchor.json"'))
    made = Workspace.open(folder / "ws")
    made.fit("visits", "visits", model="ridge", sigma=0.05)
    back_up(made.storage, folder / "monday")
    made.forget(["person-1"])
    made.process()


def worked(operation: Callable[[], object], limit: int, lines: Path) -> None:
    """In a child: does it, killed at the line ``limit``."""
    count = [0]
    sys.settrace(traced(limit, count))
    operation()
    sys.settrace(None)
    lines.write_text(str(count[0]))


def check_backup(folder: Path) -> str:
    """What is wrong after a backup that was killed, if anything."""
    target = folder / "tuesday"
    if target.exists():
        if not any(target.iterdir()):
            return "an empty backup"
        shutil.move(target, folder / "whole")
        restore_apart(folder, folder / "whole")
    storage = Workspace.open(folder / "ws").storage
    back_up(storage, target)
    restore_apart(folder, target)
    found = [f"{finding.check}: {finding.problem}" for finding in examine(storage) if finding.problem]
    left = sorted(path.name for path in folder.glob("*.unfinished"))
    return "; ".join([*found, *left])


def restore_apart(folder: Path, backup: Path) -> None:
    """Whether ``backup`` can be restored, beside the original, which is moved away for that."""
    shutil.move(folder / "ws", folder / "aside")
    anchor = (folder / "anchor.json").read_bytes()
    try:
        restore(backup, folder / f"of-{backup.name}")
    finally:
        shutil.move(folder / "aside", folder / "ws")
        (folder / "anchor.json").write_bytes(anchor)


def check_restore(folder: Path, operation: Callable[[], object]) -> str:
    """What is wrong after a restore that was killed, if anything."""
    target = folder / "new"
    try:
        found = Workspace.open(target)
    except WorkspaceInvalid as error:
        if "again" not in str(error) and "no workspace" not in str(error):
            return str(error)
        operation()
        found = Workspace.open(target)
    found.process()
    if found.forget(["person-1"])[0].reason != "already-forgotten":
        return "person-1 came back"
    with found.storage.database.reading() as connection:
        if register.counts(connection)[requests.RequestState.CLOSED] != 1:
            return "forgotten twice"
    return "; ".join(f"{finding.check}: {finding.problem}" for finding in examine(found.storage) if finding.problem)


def main(folder: str, kind: str, count: str, *databases: str) -> None:
    """Plays the rounds, killing at even steps through the operation."""
    lines, rounds = 0, int(count)
    for number in range(rounds + 1):  # the first is not killed: it tells how long the operation is
        storage = Path(folder) / f"round-{number}"
        storage.mkdir()
        assert os.waitpid(forked(lambda: prepare(storage)), 0)[1] == 0  # noqa: B023
        database = databases[number] if databases else None

        def operation() -> object:
            if kind == "backup":
                return back_up(Workspace.open(storage / "ws").storage, storage / "tuesday")  # noqa: B023
            return restore(storage / "monday", storage / "new", database=database)  # noqa: B023

        if kind == "restore":
            shutil.move(storage / "ws", storage / "lost")
        limit = number * lines // (rounds + 1)
        child = forked(lambda: worked(operation, limit, storage / "lines"))  # noqa: B023
        ended = os.waitpid(child, 0)[1]
        if number == 0:
            assert ended == 0
            lines = int((storage / "lines").read_text())
            if kind == "backup":
                shutil.move(storage / "tuesday", storage / "first")

        def looked() -> None:
            try:
                said = check_backup(storage) if kind == "backup" else check_restore(storage, operation)  # noqa: B023
            except ExpungeError as error:
                said = f"{type(error).__name__}: {error}"
            (storage / "problem").write_text(said)  # noqa: B023

        failed = os.waitpid(forked(looked), 0)[1] != 0
        found = "the check itself failed" if failed else (storage / "problem").read_text()
        result = {"round": number, "limit": limit, "killed": os.WIFSIGNALED(ended), "problem": found}
        print(json.dumps(result), flush=True)  # noqa: T201
        if not found:
            shutil.rmtree(storage)


if __name__ == "__main__":
    main(*sys.argv[1:])
