"""Alters one file of a workspace, runs one command on it, and looks at what is said and what was changed. It forks, and so is
run in a process that has no threads.

    python -m tests.integrity.border FOLDER COUNT SEED [FILES COMMANDS]

Prints one JSON line a case.
"""

import fnmatch
import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import sys
import traceback
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import deltalake  # loaded before the forks, so that no child has to
import dp_accounting.gaussian_mechanism
import duckdb
import opendp.measurements
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
import skops.io
import sqlalchemy.dialects.sqlite
import sqlglot
import uvicorn

from expunge.cli import app
from expunge.data.hashed_ids import HashedId
from expunge.service import app as service
from expunge.workspace import Workspace, auditing, backup, doctor, exports, predicting, recovery
from expunge.workspace.quality import page, trade_off
from expunge.workspace.suppressing import GivenList
from tests.workspace.people import people, workspace

LOADED = (
    deltalake,
    dp_accounting,
    duckdb,
    opendp,
    sqlglot,
    skops,
    sqlalchemy,
    uvicorn,
    service,
    Workspace,
    auditing,
    backup,
    doctor,
    exports,
    page,
    predicting,
    recovery,
    trade_off,
)
TEXTS = ("", "nonsense\n", "{}", "[]", "null", "{" * 5, "[" * 100_000, '{"a": "\\ud800"}', "person-7,1,2\n", "\0\0", "é" * 9)
UNTOUCHED = "untouched"
ALTERATIONS = ("truncated", "emptied", "flipped", "replaced", "folder", "removed")
COMMANDS = {
    "status": ["status"],
    "releases": ["releases"],
    "certificate": ["certificate", "2", "--out", "out.json"],
    "transcript": ["transcript", "3", "--out", "out.json"],
    "log": ["log", "out.json"],
    "verify certificate": ["verify", "certificate.json", "--key", "ws/expunge.pub"],
    "verify receipt": ["verify", "receipt.json", "--key", "ws/expunge.pub"],
    "verify log": ["verify", "log.json", "--key", "ws/expunge.pub"],
    "verify transcript": ["verify", "transcript.json", "--key", "ws/expunge.pub"],
    "verify continues": ["verify", "checkpoint.json", "--continues", "log.json", "--key", "ws/expunge.pub"],
    "doctor": ["doctor"],
    "capacity": ["capacity", "churn"],
    "export": ["export", "churn", "--out", "out.bin"],
    "export sklearn": ["export", "churn", "--out", "out.bin", "--format", "sklearn"],
    "predict": ["predict", "churn", "new.csv", "--out", "out.csv"],
    "evaluate": ["evaluate", "churn"],
    "evaluate file": ["evaluate", "churn", "new.csv"],
    "report": ["report", "churn", "--out", "out.html"],
    "tune": ["tune", "other", "--target", "churn", "--penalty", "1", "--excess-risk", "0.01"],
    "audit": ["audit", "audited", "--model", "churn", "--draws", "40"],
    "show": ["show", "person-4", "--out", "held.json"],
    "forget": ["forget", "person-8", "person-9"],
    "forget file": ["forget", "--file", "ids.txt"],
    "process": ["process"],
    "requests": ["requests", "--out", "out.csv"],
    "requests of a person": ["requests", "--subject", "person-2"],
    "history": ["request", "history", "REQUEST"],
    "extend": ["request", "extend", "REQUEST", "--reason", "many"],
    "refuse": ["request", "refuse", "REQUEST", "--reason", "excessive"],
    "note": ["request", "note", "REQUEST", "--text", "a note"],
    "approve": ["request", "approve", "REQUEST"],
    "suppress": ["suppress", "hashes.txt", "--list", "drop", "--column", "who", "--normalised", "exact"],
    "suppressions": ["suppressions"],
    "lift": ["suppressions", "--lift", "kept"],
    "append": ["append", "new.parquet"],
    "append csv": ["append", "new.csv"],
    "rectify": ["rectify", "person-5", "--file", "right.parquet"],
    "refit": ["refit", "churn"],
    "replace": ["replace", "churn"],
    "retire": ["retire", "churn", "--yes"],
    "fit": ["fit", "spend", "--target", "spend", "--model", "ridge", "--sigma", "0.05"],
    "rotate-key": ["rotate-key"],
    "token list": ["token", "list"],
    "token issue": ["token", "issue", "somebody", "--role", "auditor"],
    "token revoke": ["token", "revoke", "TOKEN"],
    "restrict": ["restrict", "person-6", "--receipts", "r"],
    "lift restriction": ["request", "lift", "REQUEST", "--reason", "settled", "--informed"],
    "cancel": ["cancel", "REQUEST"],
    "receipt": ["receipt", "REQUEST", "--subject", "person-2"],
    "checkpoint": ["checkpoint", "out.json"],
    "checkpoint since": ["checkpoint", "out.json", "--since", "checkpoint.json"],
    "row-key": ["row-key", "who,age"],
    "widen": ["widen", "tenure", "--to", "number"],
    "backup": ["backup", "copy"],
    "restore": ["restore", "monday", "-w", "restored"],
    "recover": ["recover"],
    "recover moved": ["recover", "--moved"],
    "recover anchors": ["recover", "--anchors"],
    "recover older": ["recover", "--older"],
    "recover clock": ["recover", "--clock"],
    "serve": ["serve", "--port", "0"],
    "inspect": ["inspect", "people.parquet", "--subject", "who"],
    "init": ["init", "ws2", "--data", "people.parquet", "--subject", "who", "--schema", "schema.toml"],
    "propose": ["schema", "propose", "people.parquet", "--subject", "who", "--out", "out.toml"],
}
ELSEWHERE = ("verify", "restore", "inspect", "init", "schema")
"""Commands that take no workspace, or name another one."""
MUTE = ("audit", "serve")
"""Commands that print no JSON."""
SECONDS, SERVING = 120, 5
"""After which a command is stopped, and after which the service is taken to have started."""
CODES = {0, 1, 3, 4, 5, 6}
"""What may come of an altered file: neither wrong usage nor a fault of the program."""
LOCKS = re.compile(r"ledger\.lock|lock|.*\.sqlite-(wal|shm)")
ATTEMPTS = {"batch.begun", "batch.abandoned"}
"""What the log says of an attempt that was given up."""
BESIDE = re.compile(r"(.*/)?(ledger\.sqlite|ledger\.witness|checkpoint\.json)")
"""Files of the ledger, which are compared by what they say."""
ID = re.compile(r"person-\d|new-\d")


def prepare(folder: Path) -> None:
    """The files that every case starts from: a workspace with two models, a queue and a token, and what was given out; and the
    backup of another one that is lost."""
    lost = workspace(folder, models=False, table=people(60, 40))
    backup.back_up(lost.storage, folder / "monday")
    lost.storage.database.close()
    shutil.rmtree(lost.storage.path)
    hashed = HashedId("who", "exact", "sha256")
    table = people(200, 150)  # a fifth are held out, and at least ten must be
    made = workspace(folder, models=("churn",), table=table, hashed=(str(hashed),))
    made.fit("visits", "visits", model="ridge", sigma=0.05)
    made.forget(["person-1"])
    made.process()
    (waiting,) = made.forget(["person-2"])
    (folder / "receipt.json").write_text(waiting.receipt or "")
    (folder / "ids.txt").write_text("person-3\nperson-4\n")
    (folder / "hashes.txt").write_text(f"{hashed.of('person-6')}\n{hashed.of('nobody')}\n")
    made.suppression.add(GivenList("kept", hashed, [hashed.of("new-9")], [1]))
    new = people(5, 5, seed=1)
    new = new.set_column(0, "who", pa.array([f"new-{i}" for i in range(5)]))
    pq.write_table(new, folder / "new.parquet")
    pyarrow.csv.write_csv(new, folder / "new.csv")
    pq.write_table(new.slice(0, 1).set_column(0, "who", pa.array(["person-5"])), folder / "right.parquet")
    os.chdir(folder)
    shown = {}
    for name in ("certificate", "log", "transcript", "checkpoint"):
        shown[name] = run([*COMMANDS[name][:-1], f"{name}.json", "-w", "ws"])
    shown["token"] = run([*COMMANDS["token issue"], "--json", "-w", "ws"])
    listed = run(["token", "list", "--json", "-w", "ws"])
    assert all(code == 0 for code, _out, _err in (*shown.values(), listed)), (shown, listed)
    token = json.loads(listed[1])[0]["id"]
    (folder / "names.json").write_text(json.dumps({"REQUEST": waiting.request, "TOKEN": token}))
    os.link("ws/lock", "lock")  # by which the workspace knows its folder
    with closing(sqlite3.connect("ws/ledger.sqlite")) as connection:  # what is not in the file itself is not kept
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def run(arguments: list[str]) -> tuple[int, str, str]:
    """Exit code, output and errors of a command in a process of its own; 98 where it does not end, 99 where it raises. To serve
    ends with 0 once it has gone on for a while."""
    is_serving, paths = arguments[0] == "serve", (Path("stdout"), Path("stderr"))
    child = os.fork()
    if not child:
        code = 99
        try:
            for number, path in zip((1, 2), paths, strict=True):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            signal.signal(signal.SIGALRM, lambda *_: os._exit(0 if is_serving else 98))
            signal.alarm(SERVING if is_serving else SECONDS)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            app(arguments)
        except SystemExit as error:
            code = int(error.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    out, err = (path.read_text(errors="replace") for path in paths)
    return code, out, err


def snapshot(root: Path) -> dict[str, bytes | None]:
    """Every file below ``root`` with its content; ``None`` for a folder."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.name not in ("stdout", "stderr") and not (path.is_file() and LOCKS.fullmatch(path.name))
    }


def restore(root: Path, kept: dict[str, bytes | None]) -> None:
    """Makes everything below ``root`` what it was."""
    for path in sorted(root.rglob("*"), reverse=True):
        name = str(path.relative_to(root))
        if path.is_dir() and kept.get(name, b"") is not None:
            shutil.rmtree(path)
        elif path.is_file() and kept.get(name) is None and name != "lock":
            path.unlink()
    for name, content in kept.items():
        path = root / name
        if content is None:
            path.mkdir(mode=0o700, exist_ok=True)
        elif not path.is_file() or path.read_bytes() != content:
            path.unlink(missing_ok=True)
            path.write_bytes(content)
            path.chmod(0o600)
    if not (root / "ws/lock").exists():
        os.link(root / "lock", root / "ws/lock")


def alter(path: Path, how: str, rng: random.Random) -> None:
    """Makes something else of the file."""
    content = path.read_bytes()
    if how == UNTOUCHED:
        return
    if how == "removed":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(content[: rng.randrange(len(content) or 1)])
    elif how == "replaced":
        path.write_bytes(rng.choice(TEXTS).encode(errors="surrogatepass"))
    else:
        changed = bytearray(content or b"x")
        for _ in range(rng.choice([1, 1, 3, 40])):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)


def said(ledger: Path) -> Any:
    """What the database of a ledger says, but for attempts that were given up."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        tables = ("requests", "models", "releases", "data_files", "tokens", "public_keys", "forgettings", "hooks", "held")
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        found: dict[str, Any] = {
            name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables if name in there
        }
        found["facts"] = connection.execute("SELECT name, value FROM facts WHERE name <> 'seen'").fetchall()
        found["events"] = [e for (e,) in connection.execute("SELECT entry FROM events WHERE kind NOT IN (?, ?)", (*ATTEMPTS,))]
        found["batches"] = connection.execute("SELECT * FROM batches WHERE state <> 'abandoned'").fetchall()
    return found


def changes(root: Path, before: dict[str, bytes | None]) -> list[str]:
    """Files that are not what they were, though nothing was to be changed."""
    after = snapshot(root)
    differing = [name for name in {**before, **after} if before.get(name) != after.get(name)]  # an empty folder is nothing
    mine = [name for name in differing if not BESIDE.fullmatch(name)]
    ledger = before.get("ws/ledger.sqlite")
    if mine or not differing or ledger is None:
        return differing
    (root.parent / "before.sqlite").write_bytes(ledger)
    try:
        earlier = said(root.parent / "before.sqlite")
    except sqlite3.Error:
        return [name for name in differing if not name.endswith("checkpoint.json")]  # follows whatever the ledger says
    now = said(root / "ws/ledger.sqlite")
    return [] if _meaning(earlier) == _meaning(now) else differing


def _meaning(found: dict[str, Any]) -> Any:
    events = [{k: v for k, v in json.loads(entry).items() if k not in ("seq", "at")} for entry in found["events"]]
    return {**found, "events": events}


def judged(command: str, code: int, out: str, err: str, changed: list[str]) -> list[str]:
    """What is wrong with an answer."""
    wrong = []
    words = re.sub(r"^error:\s*", "", err).strip() if not out.startswith("{") else str(json.loads(out).get("message", out))
    if code not in CODES:
        wrong.append(f"exit code {code}")
    if "Traceback" in out + err:
        wrong.append("a traceback")
    if ID.search(out + err) and command != "inspect":  # which shows values to whoever has the file
        wrong.append("an id")
    if code in (1, 5, 6) and (len(words.split()) < 5 or len(words.splitlines()) > 6 or len(words) > 900):
        wrong.append("no sentence")
    if re.match(r"[A-Z]\w+(Error|Exception)\b", words):
        wrong.append("the name of a class")
    if code in (1, 5) and changed:
        wrong.append(f"changed {', '.join(changed[:5])}")
    return wrong


def cases(names: list[str], rng: random.Random, pattern: str, only: str) -> Iterator[tuple[str, str, str]]:
    """Files, what becomes of them, and commands, without end: first every command on what is whole, then by chance; a kind of
    file is drawn as often as any other, however many there are of it; files of the backup are those for ``restore``."""
    kinds: dict[bool, dict[str, list[str]]] = {True: {}, False: {}}
    for name in names:
        if fnmatch.fnmatch(name, pattern):
            of_backup = kinds[name.startswith("monday/")]
            of_backup.setdefault(re.sub(r"[0-9a-f]{16}|\d+", "#", name), []).append(name)
    commands = [command for command in COMMANDS if fnmatch.fnmatch(command, only)]
    yield from ((names[0], UNTOUCHED, command) for command in commands)
    while True:
        command = rng.choice(commands)
        read = kinds[command == "restore"] or kinds[command != "restore"]
        yield rng.choice(read[rng.choice(list(read))]), rng.choice(ALTERATIONS), command


def main(folder: str, count: str, seed: str, pattern: str = "*", only: str = "*") -> None:
    """Plays every command on what is whole, and ``count`` cases by chance."""
    root, n_cases = Path(folder).absolute() / "files", int(count)
    if not root.exists():
        root.mkdir()
        child = os.fork()  # whoever has made a workspace has threads
        if not child:
            try:
                prepare(root)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
    os.chdir(root)
    names, kept, rng = json.loads(Path("names.json").read_text()), snapshot(root), random.Random(int(seed))
    files = [name for name, content in kept.items() if content is not None and name not in ("lock", "names.json")]
    whole = sum(fnmatch.fnmatch(command, only) for command in COMMANDS)
    for name, how, command in islice(cases(files, rng, pattern, only), n_cases and n_cases + whole):
        alter(root / name, how, rng)
        before = snapshot(root)
        arguments = [names.get(word, word) for word in COMMANDS[command]]
        arguments += [] if arguments[0] in ELSEWHERE else ["-w", "ws"]
        arguments += ["--json"] if rng.random() < 0.3 and arguments[0] not in MUTE else []
        code, out, err = run(arguments)
        changed = changes(root, before) if code in (1, 5) else []
        problems = judged(command, code, out, err, changed)
        case = {"file": name, "how": how, "command": command, "code": code, "problems": problems}
        print(json.dumps({**case, "said": (err + out)[:1500] if problems or code else ""}), flush=True)
        restore(root, kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
