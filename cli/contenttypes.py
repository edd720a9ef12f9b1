# The table [types] of wsrv.toml: content types by suffix, beside those that wsrv knows.
#
#     [types]
#     ".foo" = "text/x-foo"
#
# Rule: it has no option and no variable: it stands in a file, or nowhere.
"""Reading the content types that a site adds."""

from wsrv.cli.configfile import ConfigFile

TABLE = "types"

Fault = tuple[int, str]


def is_of_table(key: str) -> bool:
    """Whether `key`, dotted, stands in the table, or is the table itself."""
    return key == TABLE or key.startswith(f"{TABLE}.")


def read(file: ConfigFile | None) -> tuple[dict[str, str], list[Fault]]:
    """The content types by suffix, in lower case, and what is wrong with others: lines and messages."""
    found: dict[str, str] = {}
    faults: list[Fault] = []
    if file is None:
        return found, faults
    from wsrv.engine.static.mime import is_content_type, is_suffix

    for key, value in file.entries.items():
        if not is_of_table(key):
            continue
        suffix = key.removeprefix(TABLE).removeprefix(".")
        fault = None
        if key == TABLE:
            fault = None if value == {} else f'{TABLE} is a table: write [{TABLE}], and below it ".foo" = "text/x-foo"'
        elif not is_suffix(suffix):
            fault = f'{TABLE}: {suffix!r} is not a suffix such as ".foo", with one dot'
        elif not (isinstance(value, str) and is_content_type(value)):
            fault = f"{TABLE}: {suffix}: {value!r} is not a content type such as text/x-foo"
        elif suffix.lower() in found:
            fault = f"{TABLE}: {suffix} stands there twice, in capitals and not"
        elif key != TABLE:
            found[suffix.lower()] = value
        if fault is not None:
            faults.append((file.lines.get(key, 0), f"{file.where(key)}: {fault}"))
    return found, faults
