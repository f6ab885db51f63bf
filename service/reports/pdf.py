"""A page as PDF, by reportlab; the extra `reports`. The same page gives the same bytes."""

from html import escape
from io import BytesIO
from typing import Any

from atomic_margin.service.reports.page import Page, Table


def pdf(page: Page) -> bytes:
    """Return a page as PDF, A4."""
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer

    base = ParagraphStyle("base", fontName="Helvetica", fontSize=8.5, leading=11, splitLongWords=1)
    styles = {
        "base": base,
        "number": ParagraphStyle("number", parent=base, alignment=2),
        "head": ParagraphStyle("head", parent=base, fontName="Helvetica-Bold"),
        "head-number": ParagraphStyle("head-number", parent=base, fontName="Helvetica-Bold", alignment=2),
        "title": ParagraphStyle("title", parent=base, fontName="Helvetica-Bold", fontSize=16, leading=20),
        "of": ParagraphStyle("of", parent=base, textColor=colors.HexColor("#555555"), spaceAfter=8),
        "note": ParagraphStyle("note", parent=base, textColor=colors.HexColor("#444444"), spaceBefore=6),
    }  # fmt: skip

    def text(value: str, style: str) -> Any:
        return Paragraph(escape(_latin(value)), styles[style])

    out = BytesIO()
    width = A4[0] - 28 * mm
    template = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=14 * mm,
        rightMargin=14 * mm,
        topMargin=16 * mm,
        bottomMargin=16 * mm,
        title=_latin(f"{page.title}: {page.subtitle}"),
        author="atomic-margin",
        invariant=1,
    )
    story: list[Any] = [text(page.title, "title"), text(page.subtitle, "of")]
    if page.facts:
        rows = [[text(name, "of"), text(value, "base")] for name, value in page.facts]
        story.append(_grid(rows, [45 * mm, width - 45 * mm], header=False))
    for table in page.tables:
        # The caption is a row, so that it stays with its table, which goes on from page to page.
        story.append(Spacer(1, 9))
        story.append(_grid(_rows(table, text), _widths(table, width), header=True))
    story += [text(note, "note") for note in page.notes]

    def numbered(canvas: Any, document: Any) -> None:
        canvas.saveState()
        canvas.setFont("Helvetica", 7.5)
        canvas.setFillColor(colors.HexColor("#555555"))
        canvas.drawString(14 * mm, 9 * mm, _latin(f"{page.title}: {page.subtitle}"))
        canvas.drawRightString(A4[0] - 14 * mm, 9 * mm, f"page {document.page}")
        canvas.restoreState()

    template.build(story, onFirstPage=numbered, onLaterPages=numbered)
    return out.getvalue()


def _rows(table: Table, text: Any) -> list[list[Any]]:
    def style(at: int, head: bool) -> str:
        right = at in table.numbers
        if head:
            return "head-number" if right else "head"
        return "number" if right else "base"

    rest = [""] * (len(table.headers) - 1)
    rows = [
        [text(table.caption, "head"), *rest],
        [text(name, style(at, True)) for at, name in enumerate(table.headers)],
    ]
    if not table.rows:
        return [*rows, [text(table.empty, "base"), *rest]]
    return [*rows, *([text(cell, style(at, False)) for at, cell in enumerate(row)] for row in table.rows)]


def _widths(table: Table, width: float) -> list[float]:
    """Return widths of columns by their longest texts, none so narrow that its header breaks in a word."""
    longest = [
        max([max((len(word) for word in header.split()), default=1) + 1, *(len(row[at]) for row in table.rows)])
        for at, header in enumerate(table.headers)
    ]
    shares = [min(max(length, 6), 44) for length in longest]
    return [width * share / sum(shares) for share in shares]


def _grid(rows: list[list[Any]], widths: list[float], header: bool) -> Any:
    from reportlab.lib import colors
    from reportlab.platypus import Table as Grid
    from reportlab.platypus import TableStyle

    commands: list[Any] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 6),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    if header:
        commands.append(("SPAN", (0, 0), (-1, 0)))
        commands.append(("LINEBELOW", (0, 1), (-1, 1), 0.9, colors.HexColor("#888888")))
        commands.append(("LINEBELOW", (0, 2), (-1, -1), 0.4, colors.HexColor("#dddddd")))
    else:
        commands.append(("BOTTOMPADDING", (0, 0), (-1, -1), 0))
    return Grid(rows, colWidths=widths, repeatRows=2 if header else 0, style=TableStyle(commands), hAlign="LEFT")


def _latin(text: str) -> str:
    """Return a text of letters that the PDF's own fonts have; others become question marks."""
    return text.encode("cp1252", "replace").decode("cp1252")
