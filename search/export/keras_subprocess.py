"""Calls a module in a subprocess that imports Keras, with a request and a response in JSON.

Importing a backend takes seconds, stays in the process and prints to standard error, so processes that do not train
call a subprocess::

    call_in_subprocess   caller: starts ``python -m MODULE``, sends the request, returns the answer
    serve_request        module: reads the request, sends the answer or the error for the user
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from search.errors import FatalError, SearchError, UserError
from search.training.runtime import Runtime, import_keras

_ERROR_CLASSES: Mapping[str, type[SearchError]] = {"UserError": UserError, "FatalError": FatalError}


def call_in_subprocess(module: str, request: Mapping[str, Any], runtime: Runtime) -> Any:
    """Returns a module's answer to a request.

    Args:
        module: Run as ``python -m``; calls ``serve_request``.
        request: JSON values.
        runtime: Backend and device of the subprocess.

    Raises:
        SearchError: The module raised it.
        FatalError: The subprocess died.
    """
    path = os.pathsep.join(filter(None, sys.path))
    process = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(request),
        env={**os.environ, **runtime.environment_variables(), "PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if process.returncode or not process.stdout.strip():
        stderr_tail = "\n".join(process.stderr.splitlines()[-5:])
        raise FatalError(
            f"The subprocess that imports Keras ended. Received: exit code {process.returncode}.\n{stderr_tail}"
        )
    response = json.loads(process.stdout.splitlines()[-1])
    if (error := response.get("error")) is not None:
        raise _ERROR_CLASSES[error["kind"]](error["message"], hint=error["hint"])
    return response["answer"]


def serve_request(handler: Callable[[Any], Any]) -> None:
    """Reads a request from standard input and writes the handler's answer, or the error that it raised."""
    import_keras()
    try:
        response = {"answer": handler(json.load(sys.stdin))}
    except (UserError, FatalError) as error:
        response = {"error": {"kind": type(error).__name__, "message": error.message, "hint": error.hint}}
    sys.stdout.write(f"\n{json.dumps(response)}\n")
