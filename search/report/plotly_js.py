"""The plot library, packed so that a page can hold it: gzip and base64, which the page's own script unpacks."""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass

from plotly.offline import get_plotlyjs


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotlyScript:
    """Plotly's code for browsers.

    Args:
        compressed: Gzipped and in base64.
        csp_hash: Its SHA-256 as a content security policy names it.
    """

    compressed: str
    csp_hash: str


def load_plotly_script() -> PlotlyScript:
    """Returns the code that came with the Python package: no page asks the network for it."""
    code = get_plotlyjs().encode()
    packed = base64.b64encode(gzip.compress(code, mtime=0)).decode("ascii")
    return PlotlyScript(compressed=packed, csp_hash=csp_hash(code))


def csp_hash(code: bytes) -> str:
    """Returns the hash by which a content security policy allows an inline script, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(code).digest()).decode('ascii')}"
