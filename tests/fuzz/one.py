# One target under atheris: python -m tests.fuzz.one TARGET [options of libFuzzer] FOLDER...
#
# Our own modules are imported with their branches counted; the rest of the world is as it is.
"""A process that fuzzes."""

import sys

import atheris


def main() -> None:
    with atheris.instrument_imports(include=["wsrv"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
