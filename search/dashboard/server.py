"""The dashboard's server: optuna-dashboard on a read-only storage, for browsers of this machine.

Refuses every request that is not a read before it reaches the application. Called by the command ``dashboard``.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from search.dashboard.read_only import READ_ONLY_MESSAGE, ReadOnlyStorage
from search.errors import UserError
from search.records.reader import read_study
from search.records.storage.locations import StudyLocation
from search.records.storage.storages import read_storage

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
READING = ("GET", "HEAD", "OPTIONS")


class DashboardServer(ThreadingMixIn, WSGIServer):
    """Answers each request in its own thread; the threads end with the process."""

    daemon_threads = True


class _SilentRequestHandler(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, format: str, *args: Any) -> None:
        """Does nothing."""


def open_storage(location: StudyLocation, name: str) -> tuple[ReadOnlyStorage, str]:
    """Returns a study's storage, which follows a running study, and a note on damage, empty if there is none.

    Raises:
        UserError: There is no such study, it is of a newer version, or it cannot be read.
        FatalError: Its ledger is damaged in the middle.
    """
    header = read_study(location, name).header
    storage, note = read_storage(location, name, follow=True)
    return ReadOnlyStorage(storage, header.name), note


def open_server(storage: ReadOnlyStorage, port: int) -> tuple[DashboardServer, str]:
    """Returns a listening server and the address of the study's page.

    Args:
        storage: The study's storage.
        port: Port to listen on; 0 for a free one.

    Raises:
        UserError: The port cannot be used.
    """
    from optuna_dashboard._app import create_app

    try:
        server = make_server(
            HOST,
            port,
            refuse_writes(create_app(storage)),
            server_class=DashboardServer,
            handler_class=_SilentRequestHandler,
        )
    except OSError as error:
        reason = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
        raise UserError(
            f"The port cannot be used: {reason}. Received: --port {port}.", hint="Use a free one with --port 0."
        ) from error
    first = storage.get_all_studies()[0]
    return server, f"http://{HOST}:{server.server_port}/dashboard/studies/{first._study_id}"


def refuse_writes(application: WSGIApplication) -> WSGIApplication:
    """Returns the application without requests that change a study."""

    def handle(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in READING:
            return application(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "application/json")])
        return [json.dumps({"reason": READ_ONLY_MESSAGE}).encode()]

    return handle


def serve(server: DashboardServer, on_ready: Callable[[], None]) -> None:
    """Answers requests until Ctrl-C.

    Args:
        server: The listening server.
        on_ready: Called when it answers.
    """
    with server:
        try:
            on_ready()
            server.serve_forever()
        except KeyboardInterrupt:
            return
