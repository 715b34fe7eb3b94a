"""What a run says, on standard error: sentences for a person, or a JSON object a line."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from operators.redaction import without_secrets

LOG = logging.getLogger("corpusmill")
VARIABLE = "CORPUSMILL_LOG_JSON"
"""Environment variable that asks for JSON, for a schedule's runs and a cluster's jobs."""


def say(sentence: str, about: Mapping[str, object], level: int = logging.INFO) -> None:
    """Say something about a phase, run, unit or worker, whatever of them `about` names."""
    LOG.log(level, "%s", sentence, extra={"about": about})


def choose(*, as_json: bool) -> None:
    """Say everything from now on as JSON lines, or as sentences."""
    _TO_STDERR.setFormatter(JsonLine() if as_json else Sentence())


def asked(chosen: bool) -> bool:
    """What `--log-json` does, as soon as it is read; `choose` has settled what holds without it."""
    if chosen:
        choose(as_json=True)
    return chosen


def are_json() -> bool:
    """Whether what is said are JSON lines."""
    return isinstance(_TO_STDERR.formatter, JsonLine)


def error_in(line: str) -> str:
    """The sentence of an error that a run told on a line, in either form; empty for none."""
    line = line.strip()
    if line.startswith("error: "):
        return line
    if not line.startswith("{"):
        return ""
    try:
        told = json.loads(line)
    except ValueError:
        return ""
    return f"error: {told.get('event')}" if told.get("level") == "error" else ""


class Sentence(logging.Formatter):
    """The sentence alone, led by its phase, or by `error` or `warning`; no secret in it."""

    def format(self, record: logging.LogRecord) -> str:
        """The sentence of a record."""
        told, about = record.getMessage(), _about(record)
        if record.levelno >= logging.WARNING:
            told = f"{record.levelname.lower()}: {told}"
        if "phase" in about:
            told = f"phase {about['phase']}{_place(about)}: {told}"
        if record.exc_info:
            told = f"{self.formatException(record.exc_info)}\n{told}"
        return without_secrets(told)


class JsonLine(logging.Formatter):
    """One JSON object: time, level, event, and run, phase, unit and worker where they exist."""

    def format(self, record: logging.LogRecord) -> str:
        """The object of a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **{name: value for name, value in _about(record).items() if value != ""},
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps({name: _plain(value) for name, value in line.items()}, ensure_ascii=False)


class _ToStderr(logging.Handler):
    """Writes to what is standard error now: a live view and tests put their own there."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record on a line."""
        sys.stderr.write(self.format(record) + "\n")
        sys.stderr.flush()


def _about(record: logging.LogRecord) -> Mapping[str, object]:
    found: Mapping[str, object] = getattr(record, "about", {})
    return found


def _place(about: Mapping[str, object]) -> str:
    """Which phase of how many, where a line has nothing else to tell that."""
    return f" ({about['number']} of {about['phases']})" if "number" in about else ""


def _plain(value: object) -> object:
    """A value that JSON has, its texts without secrets."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return value if isinstance(value, int | float | bool) else without_secrets(str(value))


_TO_STDERR = _ToStderr()
choose(as_json=False)
LOG.addHandler(_TO_STDERR)
LOG.setLevel(logging.INFO)
LOG.propagate = False
