"""The rooms of the house: which module may import which, as docs and DESIGN have it."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.project import ROOT

PACKAGES = ("cart", "deploy")
MAX_LINES = 400
BASE = {"cart.config", "cart.errors", "cart.context", "cart.logs", "cart.model"}
FEATURES = {"carts", "prices", "analytics"}
BUILDS_ON = {"prices": {"carts"}}  # a feature, and the features that it may import

# By room: what it may import of this project, transitively, beside itself
ROOMS = {
    "cart.config": set(),
    "cart.errors": set(),
    "cart.context": set(),
    "cart.logs": {"cart.context"},
    "cart.model": {"cart.errors"},
    "cart.dynamodb": BASE,
    "cart.bus": BASE | {"cart.dynamodb"},
    "cart.http": BASE | {"cart.dynamodb", "cart.bus"},
    **{
        f"cart.{feature}": BASE
        | {"cart.dynamodb", "cart.bus", "cart.http"}
        | {f"cart.{other}" for other in BUILDS_ON.get(feature, ())}
        for feature in FEATURES
    },
}
WITHOUT_FLASK = ("cart.config", "cart.errors", "cart.context", "cart.logs", "cart.model", "cart.dynamodb", "cart.bus")
WEB_LIBRARIES = {"flask", "flask_smorest", "flask_cors", "marshmallow", "webargs", "apispec", "werkzeug"}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {module_of(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


@cache
def imports(module: str) -> frozenset[str]:
    """The modules that a module imports, anywhere in it: this project's in full, of libraries the name alone."""
    found = set()
    for node in ast.walk(ast.parse(SOURCES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in SOURCES else str(node.module))
    return frozenset(name if name in SOURCES else name.partition(".")[0] for name in found)


def paths_from(module: str) -> Iterator[list[str]]:
    """Each module that is imported, directly or not, as the path to it."""
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


def broken(modules: list[str], is_allowed) -> list[str]:
    """Each import that is not allowed, as a chain of modules."""
    return [" -> ".join(path) for module in modules for path in paths_from(module) if not is_allowed(path[-1])]


def test_every_module_is_in_a_room():
    others = {"cart", "cart.docs", "cart.health", "cart.events"}
    rooms = {*ROOMS, "cart.commands", "deploy"}
    assert [module for module in SOURCES if module not in others and not any(is_in(module, r) for r in rooms)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_one_way(room):
    assert modules_of(room)
    allowed = {room, *ROOMS[room]}
    chains = broken(modules_of(room), lambda name: name not in SOURCES or any(is_in(name, one) for one in allowed))
    assert chains == []


@pytest.mark.parametrize("room", WITHOUT_FLASK)
def test_no_flask_below_http(room):
    assert broken(modules_of(room), lambda name: name not in WEB_LIBRARIES) == []


def test_the_model_imports_the_standard_library_alone():
    chains = broken(modules_of("cart.model"), lambda name: name in SOURCES or name in sys.stdlib_module_names)
    assert chains == []


def test_only_create_app_imports_the_commands():
    importers = {module for module in SOURCES for name in imports(module) if is_in(name, "cart.commands")}
    assert {module for module in importers if not is_in(module, "cart.commands")} == {"cart"}


def test_nothing_of_the_app_imports_what_deploys_it():
    assert broken(modules_of("cart"), lambda name: not is_in(name, "deploy")) == []


def test_packages_are_empty_but_for_the_app():
    full = {path.relative_to(ROOT) for path in SOURCES.values() if path.name == "__init__.py" and path.read_text()}
    assert full == {Path("cart/__init__.py")}


def test_no_module_is_long():
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
def test_a_forbidden_import_is_named_with_both_modules(monkeypatch, tmp_path, module, source, chain):
    """A rule of this file that nothing could break would not be one."""
    path = tmp_path / "changed.py"
    path.write_text(f"{source}\n{SOURCES[module].read_text()}")
    monkeypatch.setitem(SOURCES, module, path)
    imports.cache_clear()
    room = module.rpartition(".")[0]
    try:
        allowed = {room, *ROOMS[room]}
        found = broken(
            [module],
            lambda name: name not in WEB_LIBRARIES and (name not in SOURCES or any(is_in(name, r) for r in allowed)),
        )
    finally:
        imports.cache_clear()
    assert chain in found
