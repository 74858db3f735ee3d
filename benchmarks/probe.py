"""Do a cold start up to a given layer, in its own process: ``python -S -B probe.py ARGUMENTS``, those of `main`.

It imports only what the interpreter or the contender needs anyway, so that the measured cost is the contender's. It
ends without cleaning up, since Lambda does not clean up either.
"""

import sys


def main(tree: str, upto: str, last_import: str, module: str, function: str, events: str) -> None:
    """Start the contender in the folder ``tree``.

    :param upto: ``interpreter``, ``sdk``, ``imports``, ``app`` or ``answer``
    :param last_import: the last module that is imported
    :param module: creates the app when it is imported
    :param function: the name of the module's function that takes an event and a context
    :param events: a JSON list; the answers are the last line on stdout, as JSON
    """
    sys.path[0] = tree
    if upto == "sdk":
        __import__("boto3")
    elif upto == "imports":
        sys.meta_path.insert(0, EndAfter(last_import))
        __import__(module)
        sys.exit(f"{last_import} was not imported")
    elif upto in ("app", "answer"):
        __import__(module)
    if upto == "answer":
        import json  # noqa: PLC0415

        answers = [getattr(sys.modules[module], function)(event, Context()) for event in json.loads(events)]
        print(json.dumps(answers))
    end()


class Context:
    """The context object of a Lambda call."""

    function_name = "cart"
    function_version = "$LATEST"
    memory_limit_in_mb = "512"
    aws_request_id = "5f2c9e1b-7a60-4f0d-9a3c-1d2e3f405162"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:cart"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 15_000


class EndAfter:
    """A finder of modules that ends the process as soon as a given module has been imported."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name, path, target=None):
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = next(spec for finder in sys.meta_path if (spec := finder.find_spec(name, path)))
        execute = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (execute(module), end())
        return spec


def end() -> None:
    import os  # noqa: PLC0415

    sys.stdout.flush()
    os._exit(0)


main(*sys.argv[1:])
