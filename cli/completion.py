# The scripts are click's own templates, filled in for wsrv; those in completions/ are the same, for packagers.
#
# `--ipc=so` is where the shells differ. To zsh and fish it is one word, which what is offered replaces whole; to bash
# it is three, `--ipc`, `=` and `so`, and only the last is replaced, unless COMP_WORDBREAKS has no equals sign.
"""The command `wsrv completion`, and how words are completed."""

from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
)

SHELLS = ("bash", "zsh", "fish")


def _meant(args: list[str]) -> list[str]:
    """The arguments; behind `bench --` those of serve."""
    if args[:1] != ["bench"] or "--" not in args:
        return args
    return ["serve", *args[args.index("--") + 1 :]]


class _WholeWords(ShellComplete):
    """Offers `--ipc=socketpair` for `--ipc=so`."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        found = super().get_completions(_meant(args), incomplete)
        name, equals, _ = incomplete.partition("=")
        if not equals or not name.startswith("--"):
            return found
        return [
            CompletionItem(f"{name}={item.value}", type=item.type, help=item.help) if item.type == "plain" else item
            for item in found
        ]


class _Bash(_WholeWords, BashComplete):
    """Puts together what bash has cut at equals signs."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        self._is_cut = False
        if incomplete == "=" and args:
            args, incomplete = args[:-1], f"{args[-1]}="
            self._is_cut = True
        elif len(args) > 1 and args[-1] == "=":
            args, incomplete = args[:-2], f"{args[-2]}={incomplete}"
            self._is_cut = True
        while "=" in args[1:-1]:
            at = args.index("=", 1)
            args[at - 1 : at + 2] = [f"{args[at - 1]}={args[at + 1]}"]
        return args, incomplete

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        if not self._is_cut:
            return super().get_completions(args, incomplete)
        # What stands before the equals sign stays as it is.
        before = incomplete[: incomplete.rfind("=") + 1]
        found = ShellComplete.get_completions(self, _meant(args), incomplete)
        return [
            CompletionItem(str(item.value).removeprefix(before), type=item.type) if item.type == "plain" else item
            for item in found
        ]


class _Zsh(_WholeWords, ZshComplete):
    """zsh."""


class _Fish(_WholeWords, FishComplete):
    """fish."""


def register() -> None:
    """Have click use these classes."""
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)


def script(shell: str) -> str:
    """What makes `shell` complete wsrv."""
    from wsrv.cli.main import COMPLETE_VARIABLE, PROGRAM, program

    completer = get_completion_class(shell)
    assert completer is not None, shell
    # The class of bash asks first which bash is installed here; the script may be meant for another machine.
    return ShellComplete.source(completer(program, {}, PROGRAM, COMPLETE_VARIABLE)).strip() + "\n"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete wsrv.

    It completes commands, options (`--ipc X` and `--ipc=X`), the names of parts and of running servers. Where wsrv was
    installed with a prefix that the shell looks into, as /usr, the script is there already.

    \b
    Examples:
      eval "$(wsrv completion bash)"        in ~/.bashrc
      eval "$(wsrv completion zsh)"         in ~/.zshrc, after compinit
      wsrv completion fish > ~/.config/fish/completions/wsrv.fish
    """
    click.echo(script(shell), nl=False)
