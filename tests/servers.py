"""Real servers for the tests, started on loopback and stopped with them."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest


class PostgreSQL:
    """A PostgreSQL cluster of the tests' own, in a folder that goes with it."""

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if not found:
            missing = "PostgreSQL is not installed: apt-get install postgresql"
            pytest.fail(missing) if os.environ.get("EXPUNGE_CI") else pytest.skip(missing)
        self.bin = found[-1].parent
        self.folder = Path(tempfile.mkdtemp(prefix="expunge-postgresql-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
        if self.user:
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-D", self.folder / "data", "-U", "expunge", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-m", mode, "stop")

    def new_database(self) -> str:
        name = f"expunge_{time.monotonic_ns()}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "expunge", name)
        return f"postgresql+psycopg://expunge@127.0.0.1:{self.port}/{name}"

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self.bin / program), *map(str, arguments)]
        with open(self.folder / f"{program}.out", "w") as out:  # a pipe would stay open with the server
            done = subprocess.run(command, cwd="/", stdout=out, stderr=out, check=False, user=self.user)
        assert done.returncode == 0, (self.folder / f"{program}.out").read_text()
