# The codings as other programs write and read them: one-shot calls of the libraries, apart from the server's own code.
"""What a coding makes of bytes, and what a client makes of them again."""

import gzip
import sys
from collections.abc import Callable

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ENCODE: dict[bytes, Callable[[bytes], bytes]] = {
    b"br": lambda body: bytes(brotli.compress(body)),
    b"zstd": lambda body: zstd.compress(body),
    b"gzip": lambda body: gzip.compress(body),
}
DECODE: dict[bytes, Callable[[bytes], bytes]] = {
    b"": bytes,
    b"br": lambda body: bytes(brotli.decompress(body)),
    b"zstd": lambda body: zstd.decompress(body),
    b"gzip": gzip.decompress,
}
