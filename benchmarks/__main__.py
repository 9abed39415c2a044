"""`python -m benchmarks`: one subcommand per benchmark, and `all`."""

import signal
import sys
from importlib import import_module
from importlib.util import find_spec

import click

BENCHMARKS = {
    "runtime": "Throughput beside Kafka Streams, bytewax, quixstreams and stock Faust.",
    "latency": "From produce to a committed output, at 10 and 1,000 events/s.",
    "restore": "A worker that starts with a million keys, and recovery after kill -9.",
    "sink": "Rows per second into ClickHouse.",
    "detectors": "Cost of a sample: each detector, all of them, changelog and memory of a host.",
    "fraud": "The whole fraud path beside quixstreams, with 1, 10 and 100 tenants in a frame.",
    "domains": "A sync and an OCR reading in the agents, by the rule and with a model.",
    "hosts": "A thousand hosts at one sample a second on one worker.",
}


class Benchmarks(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*(name for name in BENCHMARKS if find_spec(f"benchmarks.{name}")), "all"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "all":
            return everything
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"benchmarks.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = [(name, BENCHMARKS.get(name, "All of them, one after another.")) for name in self.list_commands(ctx)]
        with formatter.section("Benchmarks"):
            formatter.write_dl(shown)


@click.command()
@click.pass_context
def everything(ctx: click.Context) -> None:
    """All benchmarks with their usual settings, one after another: about half an hour."""
    group = main
    for name in group.list_commands(ctx):
        if name != "all":
            found = group.get_command(ctx, name)
            assert found is not None
            ctx.invoke(found)


@click.command(cls=Benchmarks, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Performance on this machine. Absolute figures are the machine's; ratios inside one run are what counts."""
    # Being told to end is an exit like any other: broker, workers and folders are cleaned up on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


if __name__ == "__main__":
    main()
