"""Operations and problems of the OpenAPI document."""

from cart import errors


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if isinstance(operation, dict):
                yield f"{method.upper()} {path}", operation


def is_problem(value) -> bool:
    return isinstance(value, type) and issubclass(value, errors.Problem) and value is not errors.Problem


def parts(value, path=""):
    """Yield each object in the document, with its path."""
    if isinstance(value, dict):
        yield path, value
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield from parts(member, f"{path}/{name}")


def is_schema(path: str) -> bool:
    """Tell whether the object at this path is a JSON Schema, or a part of an example that looks like one."""
    return "example" not in path and "/discriminator" not in path
