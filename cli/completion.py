# The scripts are click's own templates, filled in for wsrv; those in completions/ are the same, for packagers.
"""The command `wsrv completion`."""

import click
from click.shell_completion import ShellComplete, get_completion_class

SHELLS = ("bash", "zsh", "fish")


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

    \b
    bash:  eval "$(wsrv completion bash)"       in ~/.bashrc
    zsh:   eval "$(wsrv completion zsh)"        in ~/.zshrc
    fish:  wsrv completion fish > ~/.config/fish/completions/wsrv.fish
    """
    click.echo(script(shell), nl=False)
