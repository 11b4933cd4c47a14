"""One mail as plain values: its HTML and its text are written from them, so neither says less. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

WIDTH = 72
"""Columns of the text: what every mail program shows without breaking lines."""
_LABELS = 26


@dataclass(frozen=True, slots=True)
class Line:
    """A label and a value, with a note ("2 s old"), a colour (act, watch, ok, info) and an address."""

    label: str
    value: str = ""
    note: str = ""
    level: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading ("" for none), and below it lines or paragraphs."""

    heading: str
    lines: tuple[Line, ...] = ()
    paragraphs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A whole mail. `state` is its first line, `ribbon` says that money is not real, `level` is a colour."""

    state: str
    title: str
    headline: str
    sections: tuple[Section, ...]
    level: str = "info"
    ribbon: str = ""
    footer: tuple[Line, ...] = ()
    links: tuple[Line, ...] = ()
    button: Line | None = None


def text_of(sheet: Sheet) -> str:
    """Return the mail as plain text: the new state first, everything that the HTML says, links in full."""
    parts = [_wrapped(sheet.state)]
    if sheet.ribbon:
        parts.append(_wrapped(sheet.ribbon))
    parts += [_wrapped(text) for text in (sheet.title, sheet.headline) if text]
    parts += ["\n".join(_section(section)) for section in sheet.sections]
    links = [*([sheet.button] if sheet.button else []), *sheet.links]
    if links:
        parts.append("\n".join(f"{link.label}: {link.url}" for link in links))
    text = "\n\n".join(parts)
    if sheet.footer:
        footer = "\n".join(
            f"{one.label}: {one.url}" if one.url else _wrapped(one.label) for one in sheet.footer
        )
        text += f"\n\n-- \n{footer}"
    return f"{text}\n"


def _section(section: Section) -> Iterator[str]:
    indent = ""
    if section.heading:
        yield section.heading
        indent = "  "
    short = [len(line.label) for line in section.lines if line.value and len(line.label) <= _LABELS]
    for line in section.lines:
        yield from _line(line, indent, max(short, default=0) + 2)
    for paragraph in section.paragraphs:
        yield _wrapped(paragraph, indent=indent)


def _line(line: Line, indent: str, width: int) -> Iterator[str]:
    note = f" ({line.note})" if line.note else ""
    if not line.value:
        yield _wrapped(f"{line.label}{note}", indent=indent)
    elif len(line.label) > _LABELS:
        yield _wrapped(f"{line.label}:", indent=indent)
        yield _wrapped(f"{line.value}{note}", indent=f"{indent}  ")
    else:
        head = f"{indent}{line.label:<{width}}"
        yield textwrap.fill(
            f"{line.value}{note}",
            WIDTH,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_long_words=False,
            break_on_hyphens=False,
        )
    if line.url:
        yield f"{indent}  {line.url}"


def _wrapped(text: str, *, indent: str = "") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
