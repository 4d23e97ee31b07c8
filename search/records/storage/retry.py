"""Retries database operations while the server cannot be reached: it restarts, or the network is down.

Called by ``search.records.storage.database_ledger``, whose operations can be repeated.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from search.errors import FatalError

RETRY_SECONDS = 180.0
"""Longest outage of a server. A failover takes one to two minutes; workers count as hung after five."""
BACKOFF_SECONDS = (0.2, 5.0)
"""Shortest and longest wait between two attempts."""
T = TypeVar("T")
_LOG = logging.getLogger(__name__)


def call_with_retry(operation: Callable[[], T], *, seconds: float = RETRY_SECONDS) -> T:
    """Returns the result of an operation, which is repeated while the server cannot be reached.

    Raises:
        FatalError: The server could not be reached for ``seconds``.
    """
    began, backoff, reason = time.monotonic(), BACKOFF_SECONDS[0], ""
    while True:
        try:
            result = operation()
        except (DBAPIError, StorageInternalError) as error:
            if not is_outage(error):
                raise
            if time.monotonic() - began > seconds:
                raise FatalError(
                    f"The database could not be reached for {seconds:.0f} s ({driver_message(error)}).",
                    hint="Run the same command again when it can; what was recorded is kept, and running trials go on "
                    "from their last checkpoint.",
                ) from None
            if not reason:
                _LOG.warning(
                    f"The database cannot be reached ({driver_message(error)}); trying again for {seconds:.0f} s"
                )
            reason = driver_message(error)
            time.sleep(backoff)
            backoff = min(2 * backoff, BACKOFF_SECONDS[1])
        else:
            if reason:
                _LOG.warning("The database can be reached again")
            return result


def is_outage(error: BaseException) -> bool:
    """Returns whether an error is one of the connection, so that a retry may succeed."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return isinstance(cause, OperationalError | InterfaceError) or getattr(cause, "connection_invalidated", False)


def driver_message(error: BaseException) -> str:
    """Returns the first line of the driver's message, which holds neither the statement nor a password."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return (str(getattr(cause, "orig", None) or cause).strip() or type(cause).__name__).splitlines()[0]
