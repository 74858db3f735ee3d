"""The layout of the packages: which module may import which, as the docs state."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.project import ROOT

PACKAGES = ("cart", "deploy")
MAX_LINES = 400
BASE = {"cart.config", "cart.errors", "cart.messages", "cart.context", "cart.logs", "cart.model"}
FEATURES = ("carts", "prices", "analytics")
BUILDS_ON = {"prices": {"carts"}}  # a feature, and the features that it may import

# For each package: the modules of this project that it may import, also transitively, beside itself
ROOMS = {
    "cart.config": set(),
    "cart.messages": set(),
    "cart.errors": {"cart.messages"},
    "cart.context": set(),
    "cart.logs": {"cart.context"},
    "cart.model": {"cart.errors", "cart.messages"},
    "cart.dynamodb": BASE,
    "cart.bus": BASE | {"cart.dynamodb"},
    "cart.http": BASE | {"cart.dynamodb", "cart.bus"},
    "cart.docs": BASE | {"cart.dynamodb", "cart.bus", "cart.http"},
    **{
        f"cart.{feature}": BASE
        | {"cart.dynamodb", "cart.bus", "cart.http"}
        | {f"cart.{other}" for other in BUILDS_ON.get(feature, ())}
        for feature in FEATURES
    },
}
WITHOUT_FLASK = (
    "cart.config",
    "cart.errors",
    "cart.messages",
    "cart.context",
    "cart.logs",
    "cart.model",
    "cart.dynamodb",
    "cart.bus",
)
WEB_LIBRARIES = {"flask", "flask_smorest", "flask_cors", "marshmallow", "webargs", "apispec", "werkzeug"}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {module_of(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


@cache
def imports(module: str) -> frozenset[str]:
    """Return the imports of a module, anywhere in it: this project's modules in full, of libraries only the name."""
    names = set()
    for node in ast.walk(ast.parse(SOURCES[module].read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                names.add(name if name in SOURCES else str(node.module))
    return frozenset(name if name in SOURCES else name.partition(".")[0] for name in names)


def paths_from(module: str) -> Iterator[list[str]]:
    """Return each module that is imported directly or transitively, with the path to it."""
    reached, unread = {module}, [[module]]
    while unread:
        path = unread.pop(0)
        for name in sorted(imports(path[-1]) - reached):
            reached.add(name)
            yield [*path, name]
            if name in SOURCES and name != "cart":
                unread.append([*path, name])


def is_in(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def modules_of(room: str) -> list[str]:
    return [module for module in SOURCES if is_in(module, room)]


def forbidden_chains(modules: list[str], is_allowed) -> list[str]:
    """Return each forbidden import as a chain of modules."""
    return [" -> ".join(path) for module in modules for path in paths_from(module) if not is_allowed(path[-1])]


def test_every_module_belongs_to_a_package():
    others = {"cart", "cart.health", "cart.events"}
    rooms = {*ROOMS, "cart.commands", "deploy"}
    assert [module for module in SOURCES if module not in others and not any(is_in(module, r) for r in rooms)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_imports_follow_the_rules(room):
    assert modules_of(room)
    allowed = {room, *ROOMS[room]}
    chains = forbidden_chains(
        modules_of(room), lambda name: name not in SOURCES or any(is_in(name, prefix) for prefix in allowed)
    )
    assert chains == []


@pytest.mark.parametrize("room", WITHOUT_FLASK)
def test_packages_below_http_import_no_flask(room):
    assert forbidden_chains(modules_of(room), lambda name: name not in WEB_LIBRARIES) == []


def test_model_imports_only_the_standard_library():
    chains = forbidden_chains(modules_of("cart.model"), lambda name: name in SOURCES or name in sys.stdlib_module_names)
    assert chains == []


def test_only_create_app_imports_commands():
    importers = {module for module in SOURCES for name in imports(module) if is_in(name, "cart.commands")}
    assert {module for module in importers if not is_in(module, "cart.commands")} == {"cart"}


def test_cart_does_not_import_deploy():
    assert forbidden_chains(modules_of("cart"), lambda name: not is_in(name, "deploy")) == []


def test_package_init_files_are_empty():
    full = {path.relative_to(ROOT) for path in SOURCES.values() if path.name == "__init__.py" and path.read_text()}
    assert full == {Path("cart/__init__.py")}


def test_no_module_exceeds_the_line_limit():
    lengths = {module: len(path.read_text().splitlines()) for module, path in SOURCES.items()}
    assert {module: lines for module, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_test_module_imports_another():
    tests = {path: path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    importers = {
        str(path.relative_to(ROOT)): node.module
        for path, source in tests.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and "test_" in str(node.module)
    }
    assert importers == {}


@pytest.mark.parametrize(
    ("module", "source", "chain"),
    [
        ("cart.dynamodb.rows", "import flask", "cart.dynamodb.rows -> flask"),
        ("cart.model.money", "from cart.http import fields", "cart.model.money -> cart.http.fields"),
    ],
)
def test_forbidden_import_is_named_with_both_modules(monkeypatch, tmp_path, module, source, chain):
    """Show that the rules of this file can fail."""
    path = tmp_path / "changed.py"
    path.write_text(f"{source}\n{SOURCES[module].read_text()}")
    monkeypatch.setitem(SOURCES, module, path)
    imports.cache_clear()
    room = module.rpartition(".")[0]
    try:
        allowed = {room, *ROOMS[room]}
        chains = forbidden_chains(
            [module],
            lambda name: name not in WEB_LIBRARIES and (name not in SOURCES or any(is_in(name, r) for r in allowed)),
        )
    finally:
        imports.cache_clear()
    assert chain in chains
