"""Renders the HTML page from its templates, with all of its scripts and styles inside.

Called by ``page``. User-supplied text is escaped by Jinja's autoescape and, in the charts' JSON, by ``tojson``. A
content security policy allows the page's two scripts alone, by their hashes, and no network access.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs


def render_template(name: str, **values: Any) -> str:
    """Returns a template of the page with these values, the page's own scripts and styles among them."""
    script, plotly, plotly_hash = _static("report.js"), *_packed_plotly()
    scripts = {"style": _static("report.css"), "script": script, "plotly": plotly}
    allowed = f"'{_csp_hash(script.encode())}' '{plotly_hash}'"
    return _environment().get_template(name).render(**scripts, allowed_scripts=allowed, **values)


@cache
def _packed_plotly() -> tuple[str, str]:
    """Returns Plotly's script from the Python package, gzipped and in base64, and its hash for the policy."""
    code = get_plotlyjs().encode()
    return base64.b64encode(gzip.compress(code, mtime=0)).decode("ascii"), _csp_hash(code)


def _csp_hash(code: bytes) -> str:
    """Returns the hash by which a content security policy allows one inline script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(code).digest()).decode('ascii')}"


def _static(name: str) -> str:
    return files("search.report").joinpath("static", name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("search.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = _minus
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _minus(text: object) -> str:
    """Returns the text with a minus sign instead of a hyphen before figures."""
    return re.sub(r"(?<![^\s(])-(?=\d)", "\N{MINUS SIGN}", str(text))
