"""JSON texts that are stored in a row: they come back as they were, whatever their length and characters."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cart.dynamodb import packing
from cart.dynamodb.packing import pack_text, unpack_text

NAMES = st.text(st.characters(exclude_categories=["Cs"])) | st.text('\\\\u0e9"é\n\x00\x7f\x80😀', max_size=30)


@given(st.lists(NAMES))
def test_text_by_lzma_comes_back(names):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PACK_FROM_CHARACTERS", 0)
        patch.setattr(packing, "MAX_ZLIB_BYTES", 0)
        value = pack_text(json.dumps(names))
    assert value["B"].startswith(packing.LZMA_MAGIC)
    assert unpack_text(value) == json.dumps(names)


@pytest.mark.parametrize(("length", "kind"), [(1000, "S"), (2000, "B"), (2_000_000, "B")])
def test_longer_text_is_compressed(length, kind):
    text = json.dumps("é" * (length // 6))
    value = pack_text(text)
    assert list(value) == [kind]
    assert unpack_text(value) == text
