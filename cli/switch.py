# A setting that is on or off. On the command line --NAME and --no-NAME, without a value.
"""Parameter type: switches."""

from wsrv.cli.units import Kind

_YES = ("true", "on", "yes", "1")
_NO = ("false", "off", "no", "0")


class Switch(Kind):
    """On or off."""

    name = ""
    allowed = "true or false"
    takes = (str, bool)

    def _read(self, value: str | bool) -> bool:
        if isinstance(value, bool):
            return value
        word = value.strip().lower()
        if word not in (*_YES, *_NO):
            raise ValueError
        return word in _YES
