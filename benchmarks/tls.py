"""Measure the CPU figures with TLS between a contender and the canned DynamoDB: stunnel, with its own certificate.

How to read it: the figures are those of `cpu`, plus the cost of the encryption, which is the same for all contenders.
Connections are reused, so the figures include no handshake, except for a contender that opens one for each request.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks import canned
from cart.commands import engines

CONFIGURATION = """foreground = yes
pid =
debug = crit
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[dynamodb]
accept = 127.0.0.1:{port}
connect = {address}
cert = {folder}/certificate.pem
key = {folder}/key.pem
"""


def missing() -> str | None:
    return None if shutil.which("stunnel") else "bench: TLS is put on by stunnel, which is not here (Debian: stunnel4)"


@contextmanager
def running() -> Iterator[tuple[str, str]]:
    """Run the canned endpoint behind TLS; the value is its URL and the file of the certificate to trust."""
    with canned.running() as url, tempfile.TemporaryDirectory(prefix="bench-tls-") as scratch:
        folder, port = Path(scratch), engines.free_port()
        _certify(folder)
        configuration = folder / "stunnel.conf"
        configuration.write_text(CONFIGURATION.format(port=port, address=urlsplit(url).netloc, folder=folder))
        process = subprocess.Popen(["stunnel", str(configuration)], start_new_session=True)
        try:
            secure_url = f"https://127.0.0.1:{port}"
            assert engines.wait_until_listens(secure_url, 10, lambda: process.poll() is None), "stunnel did not start"
            yield secure_url, str(folder / "certificate.pem")
        finally:
            engines.stop(process)


def _certify(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "canned DynamoDB")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)
