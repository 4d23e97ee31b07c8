"""Redacts hosts, paths and URLs of a study before it is published.

    hosts, process ids        removed
    nodes of a cluster        numbered in order of appearance: "node 1"
    paths of this machine     removed, or cut to their last part
    URLs                      cut to their scheme, since they hold hosts, users and passwords
    tracebacks                removed; cause and message are kept

Pure; called before a study or a board is published.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.trial import NODE_KEY, PRIVATE_KEYS, Outcome

_URL = re.compile(r"\b([A-Za-z][\w+.-]*://)[^\s'\"]+")
_PASSWORD = re.compile(r"\b([A-Za-z][\w+.-]*://)([^:/@]*):.*@")
_QUERY = re.compile(r"([?&](?:password|passwd|pwd)=)[^&\s]*", re.IGNORECASE)
_PATH = re.compile(r"(?<![\w.:/~-])(?:~\w*/|/)(?:[^\s'\"/,;:()]+/|/)*([^\s'\"/,;:()]+)")


def redacted(study: StudyRecord) -> StudyRecord:
    """Returns the study without private data."""
    node_aliases = _node_aliases(study)
    return replace(
        study,
        header=_redact_header(study.header),
        trials=tuple(_redact_record(record, node_aliases) for record in study.trials),
    )


def redact_text(content: str) -> str:
    """Returns a text with URLs cut to their scheme and absolute paths cut to their last part."""
    return _PATH.sub(r"\1", _URL.sub(r"\1...", content))


def without_password(value: str) -> str:
    """Returns a word of a command, such as a URL, without its password."""
    return _QUERY.sub(r"\1...", _PASSWORD.sub(r"\1\2@", value))


def redact_command(command_line: str) -> str:
    """Returns a command with its paths and database URLs cut; it remains a valid command line."""
    try:
        words = shlex.split(command_line)
    except ValueError:
        return redact_text(command_line)
    return shlex.join(map(_redact_word, words))


def _redact_word(word: str) -> str:
    if url := _URL.search(word):
        return word[: url.start()] + url[1] + "..."
    option, sign, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{sign}{_file_name(value)}"


def _file_name(path: str) -> str:
    return Path(path).name or path if path.startswith(("/", "~")) else path


def _redact_header(header: StudyHeader) -> StudyHeader:
    return replace(header, command=redact_command(header.command), space_source=_file_name(header.space_source))


def _node_aliases(study: StudyRecord) -> Mapping[str, str]:
    """Returns the published name of each node, since node names are mostly addresses."""
    nodes = (
        record.outcome.environment[NODE_KEY]
        for record in study.trials
        if record.outcome and NODE_KEY in record.outcome.environment
    )
    return {node: f"{NODE_KEY} {number}" for number, node in enumerate(dict.fromkeys(nodes), start=1)}


def _redact_record(record: TrialRecord, node_aliases: Mapping[str, str]) -> TrialRecord:
    return replace(
        record,
        outcome=record.outcome and _redact_outcome(record.outcome, node_aliases),
    )


def _redact_outcome(outcome: Outcome, node_aliases: Mapping[str, str]) -> Outcome:
    environment = {key: value for key, value in outcome.environment.items() if key not in PRIVATE_KEYS}
    if NODE_KEY in environment:
        environment[NODE_KEY] = node_aliases[environment[NODE_KEY]]
    return replace(outcome, environment=environment, message=redact_text(outcome.message), traceback="")
