"""Reading a contract strictly."""

import pytest

from krea_aleph.specdiff.document import MAX_BYTES, read_document
from krea_aleph.specdiff.errors import StepError

REFUSED = {
    "empty": b"",
    "html": b"<!doctype html><title>Not found</title>",
    "truncated": b'{"openapi": "3.1.0", "paths": {',
    "yaml": b"openapi: 3.1.0\n",
    "array": b"[]",
    "text": b'"openapi"',
    "no UTF-8": b'{"a": "\xff"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "duplicate keys": b'{"paths": {}, "paths": {"/x": 1}}',
    "duplicate keys inside": b'{"a": [{"b": 1, "b": 2}]}',
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "a number beyond range": b'{"a": 1e999}',
    "too deep": b'{"a":' * 70 + b"1" + b"}" * 70,
    "far too deep": b"[" * 200_000,
    "an endless number": b'{"a": ' + b"9" * 5_000 + b"}",
    "too large": b" " * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_plain_json_is_refused(data: bytes) -> None:
    """A document that is not one plain, finite, shallow JSON object stops with a named step."""
    with pytest.raises(StepError) as caught:
        read_document(data)
    assert caught.value.step == "read"
    assert len(str(caught.value)) < 500


def test_ratios_stay_text() -> None:
    """Values that YAML would read as numbers are the text that was written."""
    assert read_document(b'{"ratio": "16:9", "no": "no"}') == {"ratio": "16:9", "no": "no"}
