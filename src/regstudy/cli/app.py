"""The program: its commands, and how errors end it. Each command imports heavy modules itself: `--help` is instant."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from regstudy.cli.commands import final_models, preparations, study_runs, study_views, whole_answer
from regstudy.cli.console import err, out
from regstudy.cli.signals import ending_on_signals
from regstudy.config.user_code import user_code
from regstudy.errors import LESS_MEMORY, RegstudyError, describe, lacks_memory
from regstudy.files.paths import system_error

SPIN_COUNT = "30000"

# Python looks for garbage several times while it ends, among all objects of torch and others: a second without this.
atexit.register(gc.freeze)


class Commands(TyperGroup):
    """The commands; a `sys.exit(0)` in code that they call must not end the program as if all were done."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except SystemExit as error:
            if error.code not in (0, None):
                raise  # as rich does when nobody reads its output any more
            with user_code("The command", RegstudyError):
                raise


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def _show_version(wanted: bool) -> None:
    if wanted:
        from regstudy import __version__

        out.print(f"regstudy {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the whole traceback of every error, also of failed trials.")
    ] = False,
) -> None:
    """Find out which regularizers really close the train/validation gap of an image classifier."""


# in the order of `--help`
for _command in (
    preparations.init,
    whole_answer.answer,
    study_runs.study,
    study_runs.compare,
    study_runs.confirm,
    study_runs.ablate,
    study_runs.worker,
    study_views.report,
    study_views.dashboard,
    study_views.export,
    final_models.train,
    final_models.evaluate,
    final_models.verify,
    final_models.predict,
    final_models.convert,
    preparations.preview,
    preparations.doctor,
    preparations.spaces,
):
    app.command()(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; errors that the user can fix become one paragraph and exit code 2."""
    # Threads waiting for each other would spin for milliseconds, which takes cores away from other programs and from
    # each other; too short a wait is slow, too (dropout_cnn, batch 32, images/s alone and with two busy programs:
    # 1,000 turns 5,800 and 1,170; 30,000 turns 6,380 and 2,860).
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    given = sys.argv[1:] if arguments is None else arguments
    others = [word for word in given if word != "--debug"]  # it may stand before or behind the command
    out.debug = err.debug = len(others) < len(given)
    with ending_on_signals():
        try:
            app(others, prog_name="regstudy")
        except (RegstudyError, OSError) as error:
            if err.debug:
                err.print("".join(traceback.format_exception(error)))
            words = system_error(error) if isinstance(error, OSError) else str(error)
            err.print(f"error: {words}{_more(error)}", style="red")
            sys.exit(2)
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            if err.debug:
                err.print("".join(traceback.format_exception(error)))
            err.print(f"error: {describe(error)}. {LESS_MEMORY}{_more(error)}", style="red")
            sys.exit(2)


def _more(error: Exception) -> str:
    """How to see more of an error that was not ours at first, such as one of the user's own code."""
    first: BaseException = error
    while first.__cause__ is not None:
        first = first.__cause__
    hint = "\nTo see the whole traceback, add --debug."
    return "" if err.debug or isinstance(first, RegstudyError | OSError) else hint
