"""JSON texts as attribute values, compressed so that a row stays under DynamoDB's limit of 400 KB."""

import json
import re
import zlib
from json.encoder import encode_basestring_ascii as quoted

from cart.dynamodb.keys import Row

PACK_FROM_CHARACTERS = 1024  # shorter texts are not compressed
MAX_ZLIB_BYTES = 390_000  # longer ones are compressed by LZMA
LZMA_MAGIC = b"\xfd7zXZ"
ESCAPES = r"\\\\|((?:\\u(?!00[0-7])[0-9a-f]{4})+)"  # a backslash, or characters that are not ASCII


def pack_text(text: str) -> Row:
    """Return JSON text of ASCII characters as an attribute value; a long text is compressed, which costs fewer units.

    The longest receipt of carts within their limits has 350 KB by zlib. Carts can exceed the limits: a receipt of 400
    lines with names of random characters, and a cart of 400, have 690 KB by zlib and 240 KB by LZMA, which finds each
    name again. LZMA takes 10 times the CPU of zlib, but less if the characters are not escaped.
    """
    if len(text) < PACK_FROM_CHARACTERS:
        return {"S": text}
    packed = zlib.compress(text.encode())
    if len(packed) > MAX_ZLIB_BYTES:
        import lzma  # noqa: PLC0415 - few receipts need it

        packed = lzma.compress(re.sub(ESCAPES, _characters, text).encode())
    return {"B": packed}


def unpack_text(value: Row) -> str:
    """Return the text of an attribute value of ``pack_text``."""
    if "S" in value:
        return str(value["S"])
    packed: bytes = value["B"]
    if not packed.startswith(LZMA_MAGIC):
        return zlib.decompress(packed).decode()
    import lzma  # noqa: PLC0415 - few receipts need it

    text = lzma.decompress(packed).decode()
    return re.sub(r"[^\x00-\x7f]+", lambda characters: quoted(characters[0])[1:-1], text)


def _characters(escapes: re.Match[str]) -> str:
    return str(json.loads(f'"{escapes[1]}"')) if escapes[1] else escapes[0]
