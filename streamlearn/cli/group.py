"""The group that holds the verbs, and the only place where errors end the process.

Exit codes: 0 done, 1 it ran and failed, 2 the configuration or the call is wrong, 3 could not
start, 130 interrupted.
"""

import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import click

import streamlearn
from streamlearn.errors import ConfigError, StreamlearnError

INTERRUPTED: Final = 130


class Verbs(click.Group):
    """Lists the verbs in the order of a first day, and turns errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the verbs, in the order in which they were added."""
        del ctx
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb, and see here whether its output could be written."""
        code = super().invoke(ctx)
        sys.stdout.flush()
        return code

    def main(  # type: ignore[override]  # always ends the process
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run the verb that the arguments name, then end the process with its exit code."""
        extra["standalone_mode"] = False
        stdout = sys.stdout
        arguments = list(sys.argv[1:] if args is None else args)
        extra["obj"] = tuple(arguments)
        try:
            code = super().main(list(arguments), prog_name or "streamlearn", **extra)
        except SystemExit as end:
            # Where the reader has had enough (`… | head`), click replaces stdout and gives up:
            # for us that is no failure.
            code = end.code if sys.stdout is stdout else 0
        except (KeyboardInterrupt, click.Abort):
            code = INTERRUPTED
        except Exception as error:
            if "--traceback" in arguments:
                raise
            code = report(error)
        sys.exit(code if isinstance(code, int) else 0)


def report(error: Exception) -> int:
    """Say on stderr what went wrong; the exit code that belongs to it."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, click.ClickException):
        verb = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        hint = f" (see {verb} --help)" if verb else ""
        click.echo(f"streamlearn: {error.format_message()}{hint}", err=True)
        return error.exit_code
    if isinstance(error, ConfigError):
        click.echo(str(error), err=True)
    elif isinstance(error, StreamlearnError):
        click.echo(f"streamlearn: {error}", err=True)
    else:
        kind = type(error).__name__
        click.echo(
            f"streamlearn: unexpected {kind}: {error}; this is a fault of the program: please "
            "report it with what `streamlearn --traceback …` says",
            err=True,
        )
    return error.exit_code if isinstance(error, StreamlearnError) else 1


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(streamlearn.__version__, message="%(version)s")
@click.option("--traceback", is_flag=True, help="Show where in the program an error came from.")
def main(*, traceback: bool) -> None:
    """Learn from live streams: one example at a time, each layer by its own rule.

    Start with `streamlearn demo`. `streamlearn VERB --help` explains a verb.
    """
    del traceback
