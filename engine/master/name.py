# The name of a server is the name of a folder and a word in commands: nothing in it needs quoting.
"""What a server may be called."""

import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# Completes the sentence "a name is …".
NAME_ALLOWED = "up to 64 letters, digits, dots, dashes and underscores, a letter or digit first"


def is_name(text: str) -> bool:
    """Whether `text` can name a server."""
    return _NAME.fullmatch(text) is not None
