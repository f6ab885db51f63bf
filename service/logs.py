"""One line an event: structlog over the standard library's logging, for every process that runs long.

Modules log through `logging.getLogger(__name__)`; fields of an event go into ``extra``. The command line calls
`configure` once, before anything else is begun. Three things hold for every line, whoever logs it:

- It is one line, as text or as JSON; a traceback is shown with ``debug`` only, else its error's type and message are.
- What looks like a secret is taken out of the finished line (`scrubbed`), also from messages of libraries.
- The same thing again within a minute is counted, not written: a disk that is full is no reason to fill it further.
"""

import json
import logging
import re
import sys
import time
from collections import OrderedDict
from collections.abc import MutableMapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TextIO

REMOVED = "[removed]"
REPEAT_SECONDS = 60.0
"""How long the same line is counted in place of being written again."""
MAX_REMEMBERED = 256
"""Lines that repetitions are recognised of; the oldest are forgotten."""
MAX_LINE_CHARACTERS = 16_384
"""What is longer is cut off; a traceback may be as long as it is."""
QUIET = ("httpx", "httpcore", "asyncio", "multipart", "python_multipart", "sqlalchemy", "uvicorn", "distributed")
"""Libraries that are heard from warnings on, whatever level is asked for: their debug lines show headers."""

_HEX = "[0-9a-fA-F]"
_NAMES = "token|nonce|seed|salt|secret|password|blinding|private_key"
_LETTERS = r"[A-Za-z0-9._~+/=-]{8,}"
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL), REMOVED),
    # As a header has it, as JSON, as a tuple of bytes.
    (
        re.compile(
            r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)"
            rf"(\\?[\"']?\s*[:=,]\s*(?-i:b)?\\?[\"']?)(?:[a-z]+\s+)?{_LETTERS}"
        ),
        rf"\1\2{REMOVED}",
    ),
    (re.compile(rf"(?i)\b(bearer)\s+{_LETTERS}"), rf"\1 {REMOVED}"),
    (
        re.compile(
            rf"(?i)\b((?:[a-z0-9]+[_-])*(?:{_NAMES}))"
            r"(=|\\?[\"']?\s*[:=,]\s*(?-i:b)?\\?[\"'])[^\s\"'\\,)}\]&]+"
        ),
        rf"\1\2{REMOVED}",
    ),
    # The byte sequence of an HTTP message signature (RFC 9421).
    (re.compile(r"=:[A-Za-z0-9+/]{16,}=*:"), f"=:{REMOVED}:"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/@]+@"), rf"\1:{REMOVED}@"),
    # Signatures, proofs and ciphertexts; a hash or a public key has 64 digits and may be read by anybody.
    (re.compile(rf"{_HEX}{{128,}}"), REMOVED),
)
"""What looks like a secret, and what stands in its place."""


class LogFormat(str, Enum):
    """How a line is written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(str, Enum):
    """The least important lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class LogSettings:
    """What a process writes of what it does.

    Attributes:
        format: of each line.
        level: the least important lines that are written.
        debug: write tracebacks, and every line of our own.
    """

    format: LogFormat = LogFormat.TEXT
    level: LogLevel = LogLevel.INFO
    debug: bool = False


def scrubbed(text: str) -> str:
    """Return a text without what looks like a secret.

    >>> scrubbed("GET /v1/ledger, Authorization: Bearer 0123456789abcdef")
    'GET /v1/ledger, Authorization: [removed]'
    >>> scrubbed("cannot reach postgresql://margin:hunter2@db/margin")
    'cannot reach postgresql://margin:[removed]@db/margin'
    """
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def configure(settings: LogSettings, stream: TextIO | None = None) -> logging.Handler:
    """Send every logger's lines to one stream, standard error by default; return the handler that does.

    What was configured before is replaced.
    """
    import structlog

    levels = (structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder(), _named)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    render = _json_line if settings.format is LogFormat.JSON else _text_line
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info if settings.debug else _error_alone,
            render,
        ],
        foreign_pre_chain=[*levels, stamp],
    )
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_Scrubbing(formatter))
    handler.addFilter(_Once())
    if not settings.debug:
        handler.addFilter(_Repeats())
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, _Handler):
            root.removeHandler(old)
    root.addHandler(handler)
    level = logging.DEBUG if settings.debug else logging.getLevelName(settings.level.value.upper())
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        # Its own handlers would write each line twice, and in a form of their own.
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(True)
    logging.raiseExceptions = settings.debug
    return handler


class _Handler(logging.StreamHandler[TextIO]):
    """The one handler of `configure`, told from those of tests and embedding programs by its type."""


class _Scrubbing(logging.Formatter):
    """Takes secrets out of the finished line, so that no way into it goes past."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return scrubbed(self._inner.format(record))


class _Once(logging.Filter):
    """Lets one error through once: what we have logged, the HTTP server logs again when it reaches it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if error is None:
            return True
        if getattr(error, "_atomic_margin_logged", None) not in (None, record.created):
            return False
        # One without attributes of its own is logged as often as it is met.
        if hasattr(error, "__dict__"):
            error.__dict__["_atomic_margin_logged"] = record.created
        return True


_OF_EVERY_RECORD = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"})


class _Repeats(logging.Filter):
    """Counts warnings and errors that say the same as one within the last minute; the next one tells how many.

    Fields are part of what is said: calls of two institutions in a minute are two events.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        fields = {name: value for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD}
        said = "" if error is None else f"{type(error).__name__}: {error}"[:500]
        key = (record.name, record.getMessage(), said, str(sorted(fields.items()))[:500])
        moment = time.monotonic()
        since, count = self._seen.get(key, (-REPEAT_SECONDS, 0))
        if moment - since < REPEAT_SECONDS:
            self._seen[key] = (since, count + 1)
            return False
        if count:
            record.__dict__["repeated"] = count
        self._seen[key] = (moment, 0)
        self._seen.move_to_end(key)
        while len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        return True


def _named(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # Which another formatter left on the record.
    event.pop("message", None)
    event.pop("asctime", None)
    record = event.get("_record")
    if record is not None:
        event["logger"] = record.name.removeprefix("atomic_margin.")
    return event


def _error_alone(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put an error's type and message in the place of its traceback."""
    info = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"] = f"{type(error).__name__}: {error}"
    event.pop("stack_info", None)
    return event


def _json_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    first = {name: event.pop(name) for name in ("timestamp", "level", "event", "logger") if name in event}
    first["event"] = _cut(str(first.get("event", "")))
    rest = {name: value if isinstance(value, (int, float, bool)) else _cut(str(value)) for name, value in event.items()}
    return json.dumps({**first, **rest})


def _text_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    stamp, level = event.pop("timestamp", ""), event.pop("level", "")
    said, traceback = _cut(str(event.pop("event", ""))), event.pop("exception", None)
    event.pop("logger", None)
    fields = "".join(f" {name}={_word(value)}" for name, value in event.items())
    # An outsider's text cannot begin a line of its own; a traceback is asked for by --debug and has many.
    line = f"{stamp} {level:<7} {_printable(said)}{fields}"
    return line if traceback is None else f"{line}\n{traceback}"


def _word(value: Any) -> str:
    text = _cut(str(value))
    return text if re.fullmatch(r"[\w./:+@-]+", text) else json.dumps(text, ensure_ascii=False)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LINE_CHARACTERS else f"{text[:MAX_LINE_CHARACTERS]}…"
