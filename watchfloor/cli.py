"""The `watchfloor` command. Commands are imported when they are asked for, so that help is instant."""

from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "up": "Start and supervise everything on this machine.",
    "doctor": "Say in plain words what is missing and how to mend it.",
    "health": "Say whether the whole is well.",
    "demo": "Show the product on this machine, from nothing to an alert.",
    "worker": "Run stream agents.",
    "sink": "Write the output topics to ClickHouse.",
    "collect": "Sample this host's metrics and publish them.",
    "replay": "Publish the events of a file.",
    "simulate": "Make events of sites and people with a known truth.",
    "detect": "Run a detector over a series and draw the result.",
    "train": "Train a model and store it as a signed version.",
    "calibrate": "Calibrate what serves on newer labels.",
    "certify": "Prove by reviews that tickets may be opened without a person.",
    "dataset": "Take out what models learn from.",
    "evaluate": "Measure models on files of events and outcomes.",
    "explain": "Explain a prediction: what counted, what would have cleared it, and the same score again.",
    "models": "List, show and verify stored models; make the keys that sign them.",
    "control": "Read, change and undo settings while everything runs.",
    "upgrade": "Show and finalise an upgrade to this release.",
    "jobs": "Run the scheduled jobs.",
    "dlq": "Show dead letters, and replay them.",
    "positions": "Show where the agents stand; go on past lost records.",
    "topics": "Show the topics, or make the cluster match the catalogue.",
    "schemas": "Show, generate and check the schemas.",
    "db": "Apply and check the ClickHouse migrations.",
    "sql": "Run a query.",
    "alerts": "Read alerts and act on them.",
    "incidents": "Read incidents and act on them.",
    "tickets": "Read tickets and work on them.",
    "label": "Say what the images of OCR readings show.",
    "notify": "Tell people of alerts, by webhook and e-mail.",
    "top": "Watch throughput, lag and alerts.",
}


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"watchfloor.commands.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ValueError as error:
            from watchfloor.settings import in_words

            text = in_words(error)
            if text is None:
                raise
            raise click.ClickException(f"the settings are not usable.\n{text}") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="watchfloor")
def main() -> None:
    """Watchfloor: stream processing for facility and workforce operations.

    Settings come from WATCHFLOOR_* variables and, on this machine, from the running `watchfloor up`.
    """


if __name__ == "__main__":
    main()
