"""The pages of the documentation: their blocks of code, their links, their anchors."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_NOT_RUN = "<!-- not run"
_RUN = "<!-- run -->"


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        where: Page and line, for messages.
        language: First word after the fence, or nothing.
        code: Its text.
        before: The line above it: `<!-- run -->` has shell commands run, `<!-- not run: why -->` spares Python.
    """

    where: str
    language: str
    code: str
    before: str

    @property
    def wanted(self) -> bool:
        return self.before.startswith(_RUN)

    @property
    def spared(self) -> bool:
        return self.before.startswith(_NOT_RUN)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        above = text[: match.start()].rstrip("\n").rpartition("\n")[2]
        where = f"{name(page)}:{text.count(chr(10), 0, match.start()) + 1}"
        found.append(Block(where, match[2].strip().partition(" ")[0], match[3], above))
    return found


def prose(page: Path) -> str:
    """The page without its blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def commands(block: Block) -> list[list[str]]:
    """Words of each shell command; a line that is indented, or follows a backslash, goes on with the one before."""
    joined = re.sub(r"\n[ \t]+(?=\S)", " ", block.code.replace("\\\n", " "))
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def inline_commands(page: Path) -> list[list[str]]:
    """Commands within sentences, which may leave out what does not matter there."""
    found = re.findall(r"`(protoexplain [^`]+)`", prose(page))
    return [shlex.split(command) for command in found]


def anchors(page: Path) -> set[str]:
    """As GitHub and MyST name the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    """Targets of links and pictures, in Markdown and in HTML."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    return re.findall(r"\]\(([^)\s]+)[^)]*\)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
