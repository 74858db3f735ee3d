"""The service's own gunicorn configuration, with another worker class: ``WORKER_CLASS``."""

import os

worker_class = os.environ["WORKER_CLASS"]
if worker_class == "gevent":
    # As gunicorn's worker does, but before boto3 is imported, which `cart` does: later, its TLS does not work.
    from gevent import monkey

    monkey.patch_all()

from cart.serving import *  # noqa: E402, F403

worker_class = os.environ["WORKER_CLASS"]
