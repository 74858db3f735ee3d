"""The service's gunicorn configuration with another worker class, ``WORKER_CLASS``, and ``THREADS`` threads."""

import os

from cart.commands.gunicorn_conf import *  # noqa: F403

if os.environ["WORKER_CLASS"] != "gevent":
    worker_class = os.environ["WORKER_CLASS"]
threads = int(os.environ["THREADS"])
