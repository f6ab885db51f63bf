r"""Names of institutions, and the one rule for them: messages, agents and commands take it from here.

A *name* stands in paths, in identifiers of runs (``NAME.TICK``, which have 64 characters at most) and in every signed
document of the account: at most 32 ASCII letters, digits, dashes and underscores, the first a letter or digit. A
*display name* is for people, in whatever script: at most 64 characters in normal form C, no control or format
characters, which could hide a part of it or turn it round. It stands in no signed document.

>>> require_name("fund-1")
'fund-1'
>>> display_name("Cafe\u0301 Fund")
'Café Fund'
"""

import re
import unicodedata

from atomic_margin.service.errors import ConfigurationError

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"
"""Of an institution, as JSON Schema has it."""
DISPLAY_NAME = r"^[^\u0000-\u001F\u007F-\u009F\u00AD\u200B-\u200F\u2028-\u202E\u2060-\u206F\uFEFF\uFFF9-\uFFFB]{1,64}$"
"""For people, likewise."""


def require_name(text: str) -> str:
    """Return the name of an institution as it is.

    Raises:
        ConfigurationError: it is none.
    """
    if re.fullmatch(NAME, text) is None:
        raise ConfigurationError(
            f"a name has at most 32 letters, digits, - and _, and begins with a letter or digit; got {text[:80]!r}. "
            "What people call the institution is `operator admit --name`"
        )
    return text


def display_name(text: str) -> str:
    """Return a display name in normal form C, so that what looks alike is alike."""
    return unicodedata.normalize("NFC", text)
