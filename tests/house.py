"""What stands in each package, its longest chain of imports, and circles. `bin/house` prints it."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
APPS = ("core", "positions", "reconciliation", "portfolio", "simulator", "config")


@dataclass(frozen=True)
class Package:
    """One package seen from above: what stands directly in it, and the imports between those.

    modules   files directly inside; packages are the folders
    imports   how many pairs (importer, imported) there are among both
    chain     the longest chain of imports among them, as names; empty when there is a circle
    circle    some modules that import each other, or empty
    """

    name: str
    modules: int
    packages: int
    imports: int
    chain: tuple[str, ...]
    circle: tuple[str, ...]

    @property
    def line(self) -> str:
        """Return one row of the table."""
        shape = f"circle: {' ↔ '.join(self.circle)}" if self.circle else " > ".join(self.chain)
        return (
            f"{self.name:32} {self.modules:7} {self.packages:8} {self.imports:7} {len(self.chain):5}  {shape}"
        )


def packages(apps: Iterable[str] = APPS) -> list[Package]:
    """Return every package of the product that holds more than one thing."""
    graph = grimp.build_graph(*APPS)
    names = [name for app in apps for name in _tree(graph, app)]
    return [_package(graph, name) for name in names]


def _tree(graph: grimp.ImportGraph, name: str) -> list[str]:
    children = sorted(graph.find_children(name))
    if name.endswith(".migrations") or len(children) < 2:
        return []
    return [name, *(inner for child in children for inner in _tree(graph, child))]


def _package(graph: grimp.ImportGraph, name: str) -> Package:
    children = {
        child for child in graph.find_children(name) if not child.endswith((".migrations", ".__main__"))
    }
    folders = {child for child in children if (ROOT / child.replace(".", "/")).is_dir()}
    home = {module: child for child in children for module in (child, *graph.find_descendants(child))}
    imports: dict[str, set[str]] = defaultdict(set)
    for module, child in home.items():
        for imported in graph.find_modules_directly_imported_by(module):
            if home.get(imported, child) != child:
                imports[child].add(home[imported])
    circle = _circle(children, imports)
    return Package(
        name=name,
        modules=len(children - folders),
        packages=len(folders),
        imports=sum(len(found) for found in imports.values()),
        chain=() if circle else tuple(_short(name, one) for one in _longest(children, imports)),
        circle=tuple(_short(name, one) for one in circle),
    )


def _short(package: str, module: str) -> str:
    return module.removeprefix(f"{package}.")


def _circle(nodes: Iterable[str], imports: dict[str, set[str]]) -> list[str]:
    """Return what is left when whoever imports nobody left is taken away, again and again."""
    left = set(nodes)
    while free := {node for node in left if not imports[node] & left}:
        left -= free
    while free := {node for node in left if not any(node in imports[other] for other in left)}:
        left -= free
    return sorted(left)


def _longest(nodes: Iterable[str], imports: dict[str, set[str]]) -> tuple[str, ...]:
    @cache
    def chain(node: str) -> tuple[str, ...]:
        return (node, *max((chain(one) for one in sorted(imports[node])), key=len, default=()))

    return max((chain(node) for node in sorted(nodes)), key=len)


def main() -> None:
    """Print a line for each package."""
    print(f"{'package':32} {'modules':>7} {'packages':>8} {'imports':>7} {'chain':>5}  the longest chain")
    for package in packages(sys.argv[1:] or APPS):
        print(package.line)


if __name__ == "__main__":
    main()
