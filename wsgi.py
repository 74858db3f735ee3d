"""The WSGI entry point of gunicorn, Zappa and the flask command."""

from cart import create_app

app = create_app()
