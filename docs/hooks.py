"""MkDocs hooks: where the pages are, their language, and the page of the commands, made from the commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from alltick_frames.cli import app

if TYPE_CHECKING:
    from typing import Any

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

_COMMANDS = "<!-- every command's help -->"
_CHINESE = "\u3000-\u303f\u4e00-\u9fff\uff00-\uffef"
_FOLDED = re.compile(f"(?<=[{_CHINESE}])\n(?=[{_CHINESE}])")
# Of these lines typer keeps the first half; the page's table of contents lists the same.
_LISTED = re.compile(r"\*\*Commands\*\*:\n\n(\* .*\n)+\n")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Serve the directory of the configuration, which MkDocs would not accept in it."""
    config.docs_dir = str(Path(config.config_file_path).parent)
    return config


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put every command's help where a page asks for it; let no line's end become a blank between Chinese words."""
    joined = _FOLDED.sub("", markdown)
    return joined.replace(_COMMANDS, _help()) if _COMMANDS in joined else joined


def on_page_context(context: dict[str, Any], page: Page, config: MkDocsConfig, **_: object) -> dict[str, Any]:
    """Let the theme speak the language of the page."""
    config.theme["language"] = "zh" if page.file.src_uri.startswith("zh/") else "en"
    return context


def _help() -> str:
    command = get_command(app)
    return _LISTED.sub("", get_docs_for_click(obj=command, ctx=typer.Context(command), name="alltick", indent=1))
