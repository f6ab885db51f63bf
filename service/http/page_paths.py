"""Which addresses are those of the pages; for what treats forms otherwise than bodies of calls."""

PREFIX = "/pages"


def is_of_pages(path: str) -> bool:
    """Return whether a path is one of the pages.

    >>> is_of_pages("/pages/verify"), is_of_pages("/pages"), is_of_pages("/pagesofthebook")
    (True, True, False)
    """
    return path == PREFIX or path.startswith(f"{PREFIX}/")
