"""Runs a notebook's code cells in order in one namespace and keeps what they show, as Jupyter would.

No kernel and no Jupyter: a cell is compiled, its last expression is shown. By hand, on a platform with the sample:
`TRADELOOM_POSTGRES_URL=... python tests/integration/features/notebook.py docs/notebooks/feature_store.ipynb` writes the
outputs into the file.
"""

from __future__ import annotations

import ast
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any


def run(cells: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the outputs of each code cell.

    Raises:
        Exception: whatever a cell raises, with the cell's place as a note.
    """
    namespace: dict[str, Any] = {"__name__": "notebook"}
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    return [_cell("".join(cell["source"]), place, namespace) for place, cell in enumerate(code, start=1)]


def _cell(source: str, place: int, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    tree, printed, shown = ast.parse(source), io.StringIO(), None
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    try:
        with redirect_stdout(printed):
            exec(compile(tree, f"cell {place}", "exec"), namespace)
            if last is not None:
                shown = eval(compile(ast.Expression(last.value), f"cell {place}", "eval"), namespace)
    except Exception as error:
        error.add_note(f"in code cell {place}")
        raise
    streams = [{"name": "stdout", "output_type": "stream", "text": _lines(printed.getvalue())}]
    result = {"data": _bundle(shown), "execution_count": place, "metadata": {}, "output_type": "execute_result"}
    return [*(streams if printed.getvalue() else []), *([result] if shown is not None else [])]


def _bundle(value: Any) -> dict[str, list[str]]:
    html = value._repr_html_() if hasattr(value, "_repr_html_") else None
    return {**({"text/html": _lines(html)} if html else {}), "text/plain": _lines(repr(value))}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def write_outputs(file: Path) -> None:
    """Run a notebook and write what its cells show into it."""
    notebook = json.loads(file.read_text())
    outputs = run(notebook["cells"])
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for place, (cell, shown) in enumerate(zip(code, outputs, strict=True), start=1):
        cell.update(execution_count=place, outputs=shown)
    file.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_outputs(Path(sys.argv[1]))
