"""What an answer of the admin shows, read as a browser would: rows, messages, fields, and code that a CSP refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INLINE = {"a", "b", "bdi", "data", "em", "i", "span", "strong", "time"}
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


@dataclass(eq=False)
class Element:
    """One element with what is in it."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    children: list[Element | str] = field(default_factory=list)

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    @property
    def text(self) -> str:
        return " ".join("".join(self._parts()).split())

    def _parts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            elif child.tag in INLINE:
                yield from child._parts()
            else:
                yield from (" ", *child._parts(), " ")

    def all(self, tag: str = "", css: str = "", **attributes: str) -> Iterator[Element]:
        """Yield the elements below this one, in order, that have this tag, class and attributes."""
        for child in self.children:
            if isinstance(child, Element):
                fits = (not tag or child.tag == tag) and (not css or css in child.classes)
                if fits and all(
                    child.attributes.get(name.rstrip("_").replace("_", "-")) == value
                    for name, value in attributes.items()
                ):
                    yield child
                yield from child.all(tag, css, **attributes)

    def one(self, tag: str = "", css: str = "", **attributes: str) -> Element:
        found = list(self.all(tag, css, **attributes))
        assert len(found) == 1, f"{len(found)} elements {tag} {css} {attributes}"
        return found[0]


def entered(form: Element) -> dict[str, str]:
    """Return the fields of a form as a browser sends it, without what its buttons add."""
    return {
        field.attributes["name"]: field.attributes.get("value", "on" if "checked" in field.attributes else "")
        for field in form.all("input")
        if "name" in field.attributes
        and field.attributes.get("type") != "submit"
        and (field.attributes.get("type") != "checkbox" or "checked" in field.attributes)
    }


class Page(HTMLParser):
    """A page."""

    def __init__(self, response) -> None:
        super().__init__()
        self.response = response
        self.html = response.content.decode()
        self.root = self._open = Element("", {})
        self.feed(self.html)

    def handle_starttag(self, tag, attrs) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self._open)
        self._open.children.append(element)
        if tag not in VOID and not (self.get_starttag_text() or "").endswith("/>"):
            self._open = element

    def handle_startendtag(self, tag, attrs) -> None:
        self._open.children.append(Element(tag, {name: value or "" for name, value in attrs}, self._open))

    def handle_endtag(self, tag) -> None:
        element = self._open
        while element.parent is not None and element.tag != tag:
            element = element.parent
        if element.parent is not None:
            self._open = element.parent

    def handle_data(self, data) -> None:
        self._open.children.append(data)

    @property
    def rows(self) -> list[dict[str, Element]]:
        """The rows of a list: its cells by the name of their column."""
        bodies = list(self.root.one("table", id="result_list").all("tbody"))
        return [
            {
                name.removeprefix("field-"): cell
                for cell in row.children
                if isinstance(cell, Element)
                for name in cell.classes
                if name.startswith("field-")
            }
            for body in bodies
            for row in body.all("tr")
        ]

    @property
    def texts(self) -> list[dict[str, str]]:
        return [{name: cell.text for name, cell in row.items()} for row in self.rows]

    @property
    def messages(self) -> list[str]:
        return [item.text for lists in self.root.all("ul", "messagelist") for item in lists.all("li")]

    @property
    def errors(self) -> list[str]:
        return [item.text for lists in self.root.all("ul", "errorlist") for item in lists.all("li")]

    @property
    def actions(self) -> set[str]:
        """The actions that the list offers."""
        return {
            option.attributes["value"]
            for select in self.root.all("select", name="action")
            for option in select.all("option")
            if option.attributes["value"]
        }

    @property
    def tools(self) -> list[str]:
        """The buttons for one object."""
        return [form.one("input", name="action").attributes["value"] for form in self.root.all("form", "budget-tool")]

    @property
    def foreseen(self) -> list[list[str]]:
        """What a page of confirmation says will happen, a row for each object."""
        body = self.root.one("div", "budget-foreseen").one("tbody")
        return [[cell.text for cell in row.children if isinstance(cell, Element)] for row in body.all("tr")]

    @property
    def inline_code(self) -> list[str]:
        """What a strict Content-Security-Policy refuses: styles and code in the page itself."""
        found = []
        for element in self.root.all():
            found += [
                f"<{element.tag} {name}>"
                for name in element.attributes
                if name == "style" or re.fullmatch(r"on[a-z]+", name)
            ]
            found += [
                f"<{element.tag} {value}>" for value in element.attributes.values() if value.startswith("javascript:")
            ]
            is_code = element.tag == "script" and element.attributes.get("type") not in {
                "application/json",
                "text/x-template",
            }
            if element.tag == "style" or (is_code and "src" not in element.attributes):
                found.append(f"<{element.tag}>")
        return found
