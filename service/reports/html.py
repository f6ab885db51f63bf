"""A page as HTML, whole in one file: no script, nothing fetched, every text escaped; a style for screen and for print.

>>> from atomic_margin.service.reports.page import Page
>>> "<b>" in html(Page("<b>", "", (), ()))
False
"""

from html import escape

from atomic_margin.service.reports.page import Page, Table

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1a1a1a; background: #fff;
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; }
p.of { color: #555; margin: .2rem 0 1.2rem; }
dl { display: grid; grid-template-columns: minmax(10rem, max-content) 1fr; gap: .2rem 1.2rem; margin: 0 0 1.4rem; }
dt { color: #555; }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
div.table { overflow-x: auto; margin: 0 0 1.4rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding: 0 0 .3rem; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
th { border-bottom: 2px solid #888; font-weight: 600; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
p.note { color: #444; font-size: .92em; }
@page { size: A4; margin: 16mm 14mm; }
@media print {
  body { font-size: 9.5pt; max-width: none; margin: 0; padding: 0; }
  div.table { overflow: visible; }
  thead { display: table-header-group; }
  tr { break-inside: avoid; }
  h1, caption { break-after: avoid; }
}
"""


def html(page: Page) -> str:
    """Return a page as one HTML file."""
    title = escape(f"{page.title}: {page.subtitle}")
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>\n" for name, text in page.facts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(page.title)}</h1>\n<p class="of">{escape(page.subtitle)}</p>\n<dl>\n{facts}</dl>\n'
        + "".join(_table(table) for table in page.tables)
        + "".join(f'<p class="note">{escape(note)}</p>\n' for note in page.notes)
        + "</main>\n</body>\n</html>\n"
    )


def _table(table: Table) -> str:
    def cells(tag: str, texts: tuple[str, ...], scope: str = "") -> str:
        classes = ['class="n"' if at in table.numbers else "" for at in range(len(texts))]
        opened = [" ".join(part for part in (tag, scope, mark) if part) for mark in classes]
        return "".join(f"<{begin}>{escape(text)}</{tag}>" for begin, text in zip(opened, texts, strict=True))

    if not table.rows:
        span = f'<td colspan="{len(table.headers)}">{escape(table.empty)}</td>'
        body = f"<tr>{span}</tr>\n"
    else:
        body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in table.rows)
    head = cells("th", table.headers, 'scope="col"')
    return (
        f'<div class="table"><table>\n<caption>{escape(table.caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"
    )
