"""A throw-away PostgreSQL server on the loopback, with a data folder of its own, gone at the end of the tests."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD = "searcher", "Gr8-se_cret"
PROGRAMS = Path("/usr/lib/postgresql")


class Server:
    """A PostgreSQL server.

    Args:
        programs: Folder of its programs.
        folder: For its data; its own.
        port: Of the loopback.
    """

    def __init__(self, programs: Path, folder: Path, port: int) -> None:
        self._programs, self._folder, self._port = programs, folder, port

    def make(self) -> None:
        """Makes the data folder."""
        secret = self._folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "-D", self._data, "-A", "scram-sha-256", "-U", USER, "--pwfile", str(secret), "--no-sync")

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-D", self._data, "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Stops it, and breaks every connection."""
        self._run("pg_ctl", "-D", self._data, "-m", "fast", "stop")

    def database(self) -> str:
        """Returns the URL of a new database, with its password."""
        name = f"t{secrets.token_hex(6)}"
        query = ["psql", "-h", "127.0.0.1", "-p", str(self._port), "-U", USER, "-d", "postgres", "-qc"]
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        subprocess.run([*query, f"create database {name}"], env=environment, check=True, capture_output=True)
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{self._port}/{name}"

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_as_postgres(), str(self._programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr


def _as_postgres() -> Sequence[str]:
    """PostgreSQL refuses to be run by root."""
    if os.getuid() != 0:
        return ()
    return ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")


@contextmanager
def server() -> Iterator[Server]:
    """Yields a server that runs; skips where Debian's package ``postgresql`` is not installed."""
    found = sorted(PROGRAMS.glob("*/bin"))
    if not found or shutil.which("psql") is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    with tempfile.TemporaryDirectory(prefix="postgres-", dir="/tmp") as path:
        folder = Path(path)
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        made = Server(found[-1], folder, port)
        made.make()
        made.start()
        try:
            yield made
        finally:
            made.stop()
