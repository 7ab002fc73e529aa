"""Markup of a vendor's texts to what a reader sees: tags away, entities as their characters. Pure."""

from __future__ import annotations

from html.parser import HTMLParser

_UNSEEN = frozenset({"script", "style"})


class _Text(HTMLParser):
    """Collects what is between the tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        self.parts.append(" ")  # <p>one</p><p>two</p> are two words

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in _UNSEEN and self._unseen > 0

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)


def plain_text(markup: object) -> str | None:
    """Return a text without its markup, on one line; None where there is none."""
    if not isinstance(markup, str):
        return None
    text = _Text()
    text.feed(markup)
    text.close()
    return " ".join("".join(text.parts).split())
