"""What holds the package together: what importing costs, who may import whom, and what is public."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import alltick_frames as at

PACKAGE = Path(at.__file__).parent

# A module imports from its own row or a row above; type-checking imports do not count.
ROWS = (
    ("__init__",),
    ("catalog", "clocks", "errors", "notices", "periods"),
    ("codes", "plans", "schemas", "spans", "trading_hours"),
    ("ranges", "settings", "calendars", "finality", "hours", "sessions", "products", "sheets"),
    (
        "wire",
        "decode",
        "quotes",
        "halts",
        "probe",
        "backfill",
        "budget",
        "decimals",
        "pushes",
        "segments",
        "subscription",
        "records",
        "log",
        "evidence",
        "absences",
        "horizon",
        "workload",
        "freshness",
    ),
    ("drawing", "charts"),
    ("extension",),
    ("pandas", "polars"),
    (
        "ledger",
        "transport",
        "disk",
        "claims",
        "store",
        "attempts",
        "inquiry",
        "harvests",
        "refresh",
        "fetch",
        "frames",
        "progress",
        "background",
        "kline",
        "signatures",
        "pushdown",
        "scan",
        "holdings",
        "listings",
        "repair",
        "updating",
        "sockets",
        "streams",
        "surveys",
        "watching",
        "checkup",
        "estimate",
        "exports",
        "porting",
    ),
    ("calls",),
    ("client",),
    ("api",),
    ("sandbox",),
    ("demo", "output", "options", "archive_commands", "cli"),
)


def test_importing_the_package_imports_nothing_else() -> None:
    source = "import sys; before = set(sys.modules); import alltick_frames; print(*set(sys.modules) - before)"
    listed = subprocess.run([sys.executable, "-I", "-c", source], capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in listed.stdout.split()}
    assert imported - sys.stdlib_module_names == {"alltick_frames"}
    assert "asyncio" not in imported
    assert {name for name in listed.stdout.split() if name.startswith("alltick_frames")} == {"alltick_frames"}


PACKAGES = ("extension", "sandbox")


def modules() -> list[str]:
    return [*sorted(path.stem for path in PACKAGE.glob("*.py")), *PACKAGES]


def test_every_module_has_its_row() -> None:
    assert sorted(name for row in ROWS for name in row) == sorted(modules())


@pytest.mark.parametrize("name", [name for name in modules() if name != "sandbox"])
def test_a_module_imports_only_from_its_row_or_above(name: str) -> None:
    rank = {module: number for number, row in enumerate(ROWS) for module in row}
    paths = sorted((PACKAGE / name).glob("*.py")) if name in PACKAGES else [PACKAGE / f"{name}.py"]
    for imported in (each for path in paths for each in imports_of(path)):
        assert rank[imported] <= rank[name], f"{name} imports {imported}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "sandbox").glob("*.py")), ids=lambda path: path.stem)
def test_the_sandbox_knows_nothing_of_the_client(path: Path) -> None:
    assert set(imports_of(path)) <= {"sandbox"}


@pytest.mark.parametrize(
    ("module", "only_importer"),
    [
        ("httpx", "transport"),
        ("tqdm", "progress"),
        ("diskcache", "disk"),
        ("exchange_calendars", "calendars"),
        ("duckdb", "exports"),
        ("altair", "drawing"),
        ("vl_convert", "drawing"),
    ],
)
def test_a_foreign_library_has_one_importer(module: str, only_importer: str) -> None:
    importers = [
        path.stem
        for path in PACKAGE.glob("*.py")
        if any(name.partition(".")[0] == module for name in foreign_imports_of(path))
    ]
    assert importers == [only_importer]


def imports_of(path: Path) -> list[str]:
    """Name the modules of this package that *path* imports at run time."""
    return [
        parts[1] if len(parts := name.split(".")) > 1 else "__init__"
        for name in foreign_imports_of(path)
        if name.partition(".")[0] == "alltick_frames"
    ]


def foreign_imports_of(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    checked_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    names: list[str] = []
    for node in ast.walk(tree):
        if id(node) in checked_only:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            submodules = {path.stem for path in PACKAGE.glob("*.py")} | {*PACKAGES}
            names += [
                f"{module}.{alias.name}" if module == "alltick_frames" and alias.name in submodules else module
                for alias in node.names
            ]
    return names


class TestPublicNames:
    def test_the_list_is_sorted_and_loads(self) -> None:
        assert at.__all__ == sorted(at.__all__)
        for name in at.__all__:
            assert getattr(at, name) is not None
        assert set(at.__all__) <= set(dir(at))

    def test_an_unknown_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="get_klines"):
            getattr(at, "get_klines")  # noqa: B009  # the type checker knows it does not exist

    @pytest.mark.parametrize("name", at.__all__)
    def test_it_is_documented(self, name: str) -> None:
        assert inspect.getdoc(getattr(at, name))

    @pytest.mark.parametrize("name", [name for row in ROWS[1:-3] for name in row])
    def test_a_module_lists_what_it_exports(self, name: str) -> None:
        module = import_module(f"alltick_frames.{name}")
        assert module.__doc__
        for exported in module.__all__:
            assert hasattr(module, exported)

    def test_client_and_async_client_have_the_same_methods_and_arguments(self) -> None:
        def public(kind: type) -> dict[str, list[str]]:
            return {
                name: list(inspect.signature(method).parameters)
                for name, method in inspect.getmembers(kind, inspect.isfunction)
                if not name.startswith("_") and name not in ("close", "aclose")
            }

        assert public(at.Client) == public(at.AsyncClient)
        assert inspect.signature(at.Client) == inspect.signature(at.AsyncClient)

    def test_the_function_and_the_method_have_the_same_arguments(self) -> None:
        method = list(inspect.signature(at.Client.get_kline).parameters.values())[1:]
        function = list(inspect.signature(at.get_kline).parameters.values())
        assert method == function
