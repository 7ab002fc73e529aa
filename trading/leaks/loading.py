"""Find declared definitions: in a Python file of a user's, or in the modules of a package.

Loading a file executes it, as importing it would.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

from trading.errors import InputError
from trading.leaks.declaring import Declared, declaration_of


def declared_in_file(path: Path) -> list[Declared]:
    """Return the declared functions of a file, in its order. The file is executed.

    Raises:
        InputError: there is no such file, it does not load, or nothing in it is declared.
    """
    spec = importlib.util.spec_from_file_location(f"leaks_of_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"expected a Python file, found {path}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a file that exits would end the command with its own code, 0 perhaps
        raise InputError(f"expected {path} to load, found {type(error).__name__}: {error}") from error
    if not (found := _declared(module)):
        raise InputError(
            f"expected a function with a decorator of trading.leaks (such as @feature) in {path}, found none; add one line"
        )
    return found


def declared_in_package(name: str) -> list[Declared]:
    """Return the declared functions of every module of a package, modules by name."""
    package = importlib.import_module(name)
    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return [one for module in modules for one in _declared(importlib.import_module(f"{name}.{module}"))]


def _declared(module: ModuleType) -> list[Declared]:
    found = (
        declaration_of(value) for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__
    )
    return [one for one in found if one is not None]
