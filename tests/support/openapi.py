"""Operations and problems of the OpenAPI document."""

from cart import errors


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if isinstance(operation, dict):
                yield f"{method.upper()} {path}", operation


def is_problem(value) -> bool:
    return isinstance(value, type) and issubclass(value, errors.Problem) and value is not errors.Problem
