# The entry point: which commands there are, and how each of them ends.
#
# Rule 1: a command's module is imported when that command is meant, not before: `wsrv --help` costs click and no more.
#   Plugins are imported when the commands are listed or when none of ours is meant.
# Rule 2: what a person did wrong earns a line and a status; what wsrv did wrong earns the traceback too.
"""The program `wsrv`."""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from wsrv.cli.exits import DONE, INTERRUPTED, OUR_BUG, USAGE, Stop
from wsrv.cli.voice import TerminalVoice, complain, nobody_reads_stdout

if TYPE_CHECKING:
    from wsrv.cli.foreign import Foreign

PROGRAM = "wsrv"
COMPLETE_VARIABLE = "_WSRV_COMPLETE"

# Name, what the list of commands says of it. The module of the same name in this package has the `command`.
COMMANDS = {
    "serve": "Serve the files below a folder.",
    "stats": "Show what a running server does.",
    "reload": "Let a running server take up its settings as they are now.",
    "log": "Show the access log, and follow it.",
    "bench": "Measure a server: how many requests, how long each.",
    "config": "Write, show, check or import settings.",
    "cache": "See what the cache holds; try out what others would do.",
    "plugins": "List the exchangeable parts, and who offers them.",
    "completion": "Print the completion script of a shell.",
}


# Where the context of a call keeps the commands of plugins.
_FOREIGN = "wsrv.foreign"


class PluginFault(Exception):
    """A plugin's command has raised its cause; the message says whose command."""


class Commands(click.Group):
    """The group of all commands, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *self.foreign(ctx).commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return self.foreign(ctx).commands.get(cmd_name)
        found: click.Command = import_module(f"wsrv.cli.{cmd_name}").command
        return found

    def foreign(self, ctx: click.Context) -> "Foreign":
        """The commands of plugins, looked for once a call, and warned about then unless a shell completes."""
        if _FOREIGN not in ctx.meta:
            from wsrv.cli import foreign

            ctx.meta[_FOREIGN] = foreign.load(COMMANDS)
            for warning in [] if ctx.resilient_parsing else ctx.meta[_FOREIGN].warnings:
                TerminalVoice().warn(warning)
        found: Foreign = ctx.meta[_FOREIGN]
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            there = self.foreign(ctx)
            if args[0] in there.conflicts:
                raise Stop(USAGE, str(there.conflicts[args[0]]))
            if args[0] not in there.commands:
                known = self.list_commands(ctx)
                near = get_close_matches(args[0], known, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
                raise click.UsageError(f"no command is called {args[0]}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, Stop, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.invoked_subcommand is None or ctx.invoked_subcommand in COMMANDS:
                raise
            raise PluginFault(str(self.foreign(ctx).origins[ctx.invoked_subcommand])) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The lists of commands, without importing ours."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        there = self.foreign(ctx)
        visible = {name: command for name, command in there.commands.items() if not command.hidden}
        if visible:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(
                    [
                        (name, f"{command.get_short_help_str(60)}  [{there.origins[name].release}]".lstrip())
                        for name, command in visible.items()
                    ]
                )


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from wsrv.engine.version import VERSION

        click.echo(f"{PROGRAM} {VERSION}")
        ctx.exit()


_EPILOG = f"""`{PROGRAM} COMMAND --help` says more about a command.

Every option of `{PROGRAM} serve` has an environment variable. WSRV_DISABLE_PLUGINS names plugins that are left out.
NO_COLOR switches colour off, FORCE_COLOR on where there is no terminal.

Exit status: 0 done, 1 a check failed, 2 wrong usage or settings, 3 no server runs, 4 nothing to measure, 5
cannot start, 6 not found, 70 a fault of wsrv, 130 interrupted.
"""


@click.command(
    PROGRAM,
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Say which.")
def program() -> None:
    """A static web server: one process accepts, others answer, and what stands between them can be exchanged.

    \b
    Examples:
      wsrv serve site                   a folder on http://127.0.0.1:8080
      wsrv stats --watch                what the server does now
      wsrv log tail -f --status 5xx     what goes wrong
      wsrv bench                        how fast this machine serves
    """


def run(args: Sequence[str]) -> int:
    """Do what `args` say; the exit status."""
    try:
        return _run(list(args))
    except KeyboardInterrupt:
        return INTERRUPTED
    except Stop as stop:
        complain(str(stop))
        return stop.status
    except click.UsageError as error:
        return _complain_of_usage(error)
    except click.ClickException as error:
        complain(error.format_message())
        return error.exit_code
    except PluginFault as fault:
        import traceback

        traceback.print_exception(fault.__cause__)
        complain(f"this is a fault of plugin {fault}; please report it to its authors with the lines above")
        return OUR_BUG
    except Exception as error:
        if isinstance(error, BrokenPipeError) and nobody_reads_stdout():
            return DONE
        import traceback

        traceback.print_exc()
        complain("this is a fault of wsrv, not yours; please report it with the lines above")
        return OUR_BUG


def _run(args: list[str]) -> int:
    instruction = os.environ.get(COMPLETE_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        from wsrv.cli.completion import register

        register()
        return shell_complete(program, {}, PROGRAM, COMPLETE_VARIABLE, instruction)
    try:
        with program.make_context(PROGRAM, args) as context:
            program.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        return INTERRUPTED
    return DONE


def _complain_of_usage(error: click.UsageError) -> int:
    hint = f"{error.ctx.command_path if error.ctx else PROGRAM} --help"
    if not _is_bare_call(error):
        complain(f"{error.format_message()}\ntry: {hint}")
    else:
        click.echo(error.format_message(), err=True)
    return error.exit_code


def _is_bare_call(error: Any) -> bool:
    """Whether the "error" is that nothing was asked for: then the help itself is the message (from click 8.2 on)."""
    return type(error).__name__ == "NoArgsIsHelpError"


def main() -> None:
    """Run the program and exit with its status."""
    _fill_standard_descriptors()
    status = run(sys.argv[1:])
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would flush once more at exit, complain and change the status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)


def _fill_standard_descriptors() -> None:
    """Open /dev/null where a standard stream is closed: else a socket would get its number, and the log go there."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    # Python's own streams are None then, and print(file=None) writes to the other one.
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


if __name__ == "__main__":
    main()
