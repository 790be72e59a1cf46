"""Real processes on one workspace, killed while others go on: whatever was acknowledged is closed in the end, and once."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from expunge.ledger import requests, tokens
from expunge.ledger.tables import requests as request_table
from expunge.workspace import Workspace
from tests.conftest import SOAK
from tests.service.test_worker import serve
from tests.workspace.people import people, workspace
from tests.workspace.test_workspace import problems

FINISHED, BUSY, UNFINISHED = 0, 5, 6
"""Exit codes of a command that was not killed, where others are at work."""


def small(folder: Path, n_subjects: int) -> Workspace:
    """A workspace with two models that are quick to learn."""
    made = workspace(folder, models=("churn",), table=people(n_subjects + 60, n_subjects))
    made.fit("visits", "visits", model="ridge", sigma=0.05)
    return made


def require_all_closed(found: Workspace, acknowledged: set[str]) -> None:
    """Nothing acknowledged is lost, nobody has two requests, no request was certified twice, and the doctor is content."""
    with found.storage.database.reading() as connection:
        rows = {row.id: row for row in connection.execute(sa.select(request_table).where(request_table.c.kind == "forget"))}
        entries = connection.execute(sa.text("SELECT entry FROM events WHERE kind = 'batch.certified'")).scalars()
        certified = [request for entry in entries for request in json.loads(entry)["requests"]]
    assert {request: rows[request].state if request in rows else "lost" for request in acknowledged} == dict.fromkeys(
        acknowledged, "closed"
    )
    tombstones = [row.tombstone for row in rows.values()]
    assert len(tombstones) == len(set(tombstones))
    assert len(certified) == len(set(certified))
    assert problems(found) == {}


class Hand:
    """Somebody who gives one command after the other, each killed at some time, and notes what the commands say.

    Args:
        folder: where the workspace is.
        commands: without the workspace, and without ``--json``.
        kills: how many of them are killed, at least. More are given until a command like the first has answered.
        rng: when.
    """

    def __init__(self, folder: Path, commands: Iterator[list[str]], kills: int, rng: np.random.Generator) -> None:
        self._folder, self._commands, self._kills, self._rng = folder, commands, kills, rng
        self.said: list[tuple[list[str], Any]] = []
        self.failed: list[str] = []
        self.killed = 0
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        first: str | None = None
        while self.killed < self._kills or all(command[0] != first for command, _answer in self.said):
            command = next(self._commands)
            first = first or command[0]
            arguments = [sys.executable, "-m", "expunge", *command, "--json", "-w", "ws"]
            with (self._folder / f"{threading.get_ident()}.out").open("w+") as out:
                process = subprocess.Popen(arguments, stdout=out, stderr=out, cwd=self._folder)
                self._wait(process)
                process.kill()
                code = process.wait()
                self.killed += code == -signal.SIGKILL
                out.seek(0)
                text = out.read()
            try:
                self.said.append((command, json.loads(text)))
            except ValueError:  # killed before all was said
                assert code != FINISHED
            if code not in (FINISHED, BUSY, UNFINISHED, -signal.SIGKILL):
                self.failed.append(text)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Lets it work to its end, or until the ledger was written to, by whomever, as many times as chance will have it, or
        for as long: a command that finds nothing to do writes nothing, and is to be killed too."""
        if self._rng.random() < 0.4:
            process.wait()
        witness, until = self._folder / "ws/ledger.witness", time.monotonic() + float(self._rng.exponential(2.0))
        for _ in range(self._rng.integers(1, 8)):
            before = witness.stat().st_ino
            while witness.stat().st_ino == before and process.poll() is None and time.monotonic() < until:
                time.sleep(0.001)
        time.sleep(float(self._rng.exponential(0.02)))


def test_three_at_once(tmp_path, record_property):
    found = small(tmp_path, 200)
    new = people(5, 5, seed=1)

    def forgetting() -> Iterator[list[str]]:
        for number in range(200):
            yield ["forget", f"person-{number}"]
            yield ["process"]

    def appending() -> Iterator[list[str]]:
        for number in range(10_000):
            rows = new.set_column(0, "who", pa.array([f"new-{number}-{i}" for i in range(5)]))
            pq.write_table(rows, tmp_path / f"new-{number}.parquet")
            yield ["append", f"new-{number}.parquet"]

    def processing() -> Iterator[list[str]]:
        while True:
            yield ["process"]

    hands = [
        Hand(tmp_path, commands, 3 * SOAK, np.random.default_rng(seed))
        for seed, commands in enumerate((forgetting(), appending(), processing()))
    ]
    for hand in hands:
        hand.thread.join()
    assert [text for hand in hands for text in hand.failed] == []
    found.process()
    asked, appended, _processed = (hand.said for hand in hands)
    acknowledged = {answer["request"] for command, answers in asked if command[0] == "forget" for answer in answers}
    assert acknowledged
    require_all_closed(found, acknowledged)
    left = set(found.storage.table.subjects().to_pylist())
    for command, _answer in appended:
        assert found.storage.subject_key.pseudonym(f"{command[1].removesuffix('.parquet')}-0") in left
    kills, commands = sum(hand.killed for hand in hands), sum(len(hand.said) for hand in hands)
    record_property(
        "figures",
        f"three at once: {kills} kills, {commands} commands had answered, {len(acknowledged)} requests acknowledged, 0 lost",
    )


def test_the_service_under_load(tmp_path, record_property):
    people_there = 1_000 if SOAK == 1 else 10_000
    found = small(tmp_path, people_there)
    with found.storage.database.writing() as connection:
        headers = {"Authorization": f"Bearer {tokens.issue(connection, 'Ann', 'operator')}"}
    subjects, lock = iter(range(people_there * 3 // 4)), threading.Lock()  # no model can forget everybody
    acknowledged: dict[str, int] = {}
    wrong: list[str] = []
    server = list(serve(found, tmp_path))
    over, asking = threading.Event(), httpx.Client()

    def ask() -> None:
        """Asks for one person after the other, each until there is an answer."""
        while not over.is_set():
            with lock:
                number = next(subjects, None)
            if number is None:
                return
            while not over.is_set():
                try:
                    answer = asking.post(
                        f"{server[1]}/v1/requests",
                        json={"subject": f"person-{number}"},
                        headers={**headers, "Idempotency-Key": f"{number}"},
                    )
                except httpx.HTTPError:  # it was killed meanwhile: asked again, it is the same request
                    time.sleep(0.1)
                    continue
                if answer.status_code in (200, 201):
                    acknowledged[answer.json()["request"]] = number
                    if answer.status_code == 201 and not answer.json()["receipt"]:
                        wrong.append(f"no receipt: {answer.text}")
                elif answer.status_code != 429:
                    wrong.append(answer.text)
                break
            time.sleep(0.1)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    rng = np.random.default_rng(0)
    kills = 3 if SOAK == 1 else 20
    try:
        for asker in askers:
            asker.start()
        for _ in range(kills):
            time.sleep(float(rng.uniform(2.0, 4.0)))
            server[0].kill()
            server[0].wait()
            server[:] = serve(found, tmp_path)
        time.sleep(1.0)
    finally:
        over.set()
        server[0].kill()
        server[0].wait()
        for asker in askers:
            asker.join(60)
        asking.close()
    assert wrong == [] and len(acknowledged) > kills
    with found.storage.database.reading() as connection:
        at_work = len(requests.waiting(connection))
    found.process()
    require_all_closed(found, set(acknowledged))
    record_property(
        "figures", f"serve: {kills} kills, {len(acknowledged)} requests acknowledged, {at_work} of them open at the end, 0 lost"
    )
