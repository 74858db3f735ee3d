"""The WSGI entry point of gunicorn, Zappa and the flask command."""

import gc

# All that is loaded here lives as long as the process. To collect in the meantime finds nothing, and to look at it in
# every later collection neither; frozen, it also stays shared among gunicorn's workers ("gc.freeze" in Python's docs).
gc.disable()

from cart import create_app  # noqa: E402

app = create_app()

gc.freeze()
gc.enable()
