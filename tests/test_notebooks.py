"""The notebooks run in a real kernel, and what they show can be shown to anybody."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.filterwarnings("ignore")  # a kernel's own libraries warn of what is theirs
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_a_kernel(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    texts = [str(output) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("shape:" in text for text in texts)
    assert not any(output.output_type == "error" for cell in notebook.cells for output in cell.get("outputs", []))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_outputs_and_without_a_token(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    outputs = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert "shape:" in outputs
    assert not re.search(r"[0-9a-f]{32}-c-app", path.read_text())
