"""A server that speaks TLS."""

import json
import ssl
import subprocess
from contextlib import contextmanager
from pathlib import Path

from tests.support.project import missing
from tests.support.raw_server import raw_server, response


def page(size: int) -> bytes:
    content = {"Items": [{"x": {"S": ""}}], "Count": 1, "ConsumedCapacity": {"CapacityUnits": 0.5}}
    empty = json.dumps(content, separators=(",", ":")).encode()
    return empty.replace(b'""', b'"%s"' % (b"x" * max(0, size - len(empty))))


@contextmanager
def tls_server(folder: Path, name: str):
    certificate = folder / "certificate.pem"
    process = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName={name}", "-keyout", str(folder / "key.pem"), "-out", str(certificate)),
        ],
        capture_output=True,
        check=False,
    )
    if process.returncode:
        missing("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, folder / "key.pem")
    with raw_server(lambda _: response(page(300_000)), context) as server:
        yield server, certificate
