r"""Server-sent events, as they are read: `id`, `event` and `data` of each, with limits. Comments keep a stream alive.

>>> text = ["id: 7", "event: covered", 'data: {"number": "7"}', "", ": alive", "", "event: reminder", "data: {}", ""]
>>> [(event.id, event.name, event.data) for event in read_events(text)]
[('7', 'covered', '{"number": "7"}'), (None, 'reminder', '{}')]
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from atomic_margin.service.errors import MalformedResponse

MAX_EVENT_CHARACTERS = 1 << 16
"""Of one event, and of one line."""


class StreamedEvent(NamedTuple):
    """One event.

    Attributes:
        id: where to go on from after it; None if it has none of its own.
        name: what it is.
        data: what it says.
    """

    id: str | None
    name: str
    data: str


def read_events(lines: Iterable[str]) -> Iterator[StreamedEvent]:
    """Yield the events of a stream as they come.

    Raises:
        MalformedResponse: an event is longer than any that is sent.
    """
    fields: dict[str, str] = {}
    size = 0
    for line in lines:
        size += len(line)
        if size > MAX_EVENT_CHARACTERS:
            raise MalformedResponse(f"an event of the stream has over {MAX_EVENT_CHARACTERS} characters", "data")
        if not line:
            if "data" in fields:
                yield StreamedEvent(fields.get("id"), fields.get("event", "message"), fields["data"])
            fields, size = {}, 0
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in fields:
            value = f"{fields['data']}\n{value}"
        if name in ("id", "event", "data"):
            fields[name] = value
