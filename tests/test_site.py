"""The documentation builds without a warning, has all that is public and nothing else, and reads as it is meant."""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

import alltick_frames as at

ROOT = Path(__file__).parent.parent
REFERENCE = Path("en") / "reference"
TABLE_RULER = re.compile("={3,} +={3,}")


@dataclass(repr=False)
class Page(HTMLParser):
    """What a page defines, where it points, and what it shows beside code."""

    path: Path
    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    tables: int = 0
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tables += tag == "table"
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("script", "img", "iframe") and "src" in given:
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "preconnect", "icon"):
            self.loaded.append(given["href"])

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """Build the site as CONTRIBUTING says, and read it."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", "docs/mkdocs.yml", "-d", str(site)]
    # The second: its theme says at length, and in colour, that MkDocs 2 will be another program.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.relative_to(site).parent: Page(path) for path in site.rglob("index.html")}


def test_the_reference_has_every_public_name_once_and_no_other(pages: dict[Path, Page]) -> None:
    documented = [
        name.removeprefix("alltick_frames.")
        for where, page in pages.items()
        if where.is_relative_to(REFERENCE)
        for name in page.ids
        if re.fullmatch(r"alltick_frames\.\w+", name)
    ]
    assert sorted(documented) == at.__all__


def test_every_command_is_on_its_page(pages: dict[Path, Page]) -> None:
    import typer.main  # noqa: PLC0415

    from alltick_frames.cli import app  # noqa: PLC0415

    group = typer.main.get_command(app)
    named = {f"alltick-{name}" for name in group.commands}  # type: ignore[attr-defined]  # a group is what it is
    assert len(named) > 10
    assert named <= set(pages[REFERENCE / "cli"].ids)


def test_every_method_of_the_accessor_is_on_its_page(pages: dict[Path, Page]) -> None:
    from alltick_frames.extension.accessor import Extension  # noqa: PLC0415

    where = "alltick_frames.extension.accessor.Extension"
    named = {f"{where}.{name}" for name in vars(Extension) if not name.startswith("_")}
    assert len(named) > 8
    assert {name for name in pages[REFERENCE / "extension"].ids if name.startswith(f"{where}.")} == named


def test_no_link_is_broken(pages: dict[Path, Page]) -> None:
    followed = 0
    for where, page in pages.items():
        for link in page.links:
            if re.match(r"\w+:|/", link) or link == "":
                continue
            target, fragment = urldefrag(link)
            to = pages.get(Path(os.path.normpath(where / target)))
            assert to is not None, f"{where} links to {link}"
            assert not fragment or unquote(fragment) in to.ids, f"{where} links to {link}"
            followed += 1
    assert followed > 500


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    assert [source for page in pages.values() for source in page.loaded if "//" in source] == []


def test_tables_of_docstrings_are_tables(pages: dict[Path, Page]) -> None:
    tabled = {name for name in at.__all__ if TABLE_RULER.search(getattr(at, name).__doc__ or "")}
    assert len(tabled) > 10
    reference = [page for where, page in pages.items() if where.is_relative_to(REFERENCE)]
    assert not [page.path for page in reference if TABLE_RULER.search(page.text) or "| --- |" in page.text]
    # And the one table of the page that lists the pages.
    assert sum(page.tables for page in reference) == len(tabled) + 1


def test_parameters_that_share_a_text_keep_types_of_their_own(pages: dict[Path, Page]) -> None:
    estimates = re.sub(r"\s+", "", pages[REFERENCE / "estimates"].text)
    assert "codes(str|Iterable[str])–Asforget_kline." in estimates
    assert "period(Period|str)–Asforget_kline." in estimates


def test_the_examples_of_the_extension_hold() -> None:
    path = ROOT / "docs" / "docstrings.py"
    spec = importlib.util.spec_from_file_location("docstrings", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    failed, tried = doctest.testmod(module)
    assert (failed, tried) == (0, 3)
