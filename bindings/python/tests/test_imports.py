"""Imports run one way: no module of the Python package or of the ComfyUI nodes imports, by whatever way, one that
imports it."""

import ast

import pytest
from conftest import ROOT

PACKAGES = {"omniid": ROOT / "bindings" / "python" / "omniid", "comfyui": ROOT / "bindings" / "comfyui"}


def modules(package, folder):
    """The files of a package by their modules' names."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if not {"tests", "benches"} & set(parts):
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def imports(name, path, known):
    """The modules of the package that a module imports: at its top, inside functions, and for type checkers only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            for alias in node.names:
                module = f"{base}.{alias.name}"
                if module in known or base in known:
                    yield module if module in known else base


def circle(graph):
    """The modules of a circle, the first one also as the last; None if there is none."""
    done = set()

    def visit(name, path):
        if name in path:
            return [*path[path.index(name) :], name]
        if name not in done:
            for other in sorted(graph[name]):
                found = visit(other, [*path, name])
                if found:
                    return found
            done.add(name)
        return None

    return next(filter(None, (visit(name, []) for name in graph)), None)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_one_that_imports_it(package):
    known = modules(package, PACKAGES[package])
    graph = {name: set(imports(name, path, known)) - {name} for name, path in known.items()}
    assert sum(map(len, graph.values())) > 10
    assert circle(graph) is None, " imports ".join(circle(graph))


def test_circles_are_found(tmp_path):
    for name, text in {
        "__init__": "from .a import thing",
        "a": "def f():\n    from . import b",
        "b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .c import C",
        "c": "import package.a",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    known = modules("package", tmp_path)
    graph = {name: set(imports(name, path, known)) for name, path in known.items()}
    assert circle(graph) == ["package.a", "package.b", "package.c", "package.a"]
    assert circle({**graph, "package.c": set()}) is None
