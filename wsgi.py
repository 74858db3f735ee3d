"""The WSGI entry point of gunicorn, Zappa and the flask command."""

import gc

# The objects that are loaded here exist until the process ends, so no garbage collection can free them: it is switched
# off during the import. Frozen objects are left out of later collections, and stay shared among gunicorn's workers
# ("gc.freeze" in Python's documentation).
gc.disable()

from cart import create_app  # noqa: E402

app = create_app()

gc.freeze()
gc.enable()
