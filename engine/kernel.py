"""Numbers that the kernel tells in files."""

from pathlib import Path


def number(path: Path, column: int = 0) -> int | None:
    """The one in this column of a file such as those in /proc/sys; None where it cannot be read."""
    try:
        return int(path.read_text("ascii").split()[column])
    except (OSError, ValueError, IndexError):
        return None
