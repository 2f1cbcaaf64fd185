"""The command line: ``heimdall-edge COMMAND``.

Each command imports what it needs when it runs: NumPy and onnxruntime only after the signals are
blocked (:mod:`heimdall_edge.process`), and not at all to say what is wrong with a configuration.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from heimdall_edge import __version__, journal
from heimdall_edge.errors import ConfigError, HeimdallError, ModelError, SourceError
from heimdall_edge.process import ExitCode, ProcessSignals, prepare_environment

DESCRIPTION = """\
Says over MQTT where a radio transmitter is, and how sure that is.

Reads IQ from receivers, finds transmissions on the configured channels, measures
each one, brings together what several receivers heard, and publishes positions
with error ellipses."""
EPILOG = """\
exit codes:
  0   it did what was asked
  1   something failed that the message names
  64  the command line is wrong
  65  an input file (recording, observations, model) is wrong
  78  the configuration is wrong; systemd does not restart the service

`heimdall-edge COMMAND --help` says more of each command."""
DEFAULT_CONFIG = Path("/etc/heimdall-edge/heimdall-edge.toml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code."""
    options = _parser().parse_args(arguments)
    prepare_environment()
    try:
        command: Callable[[argparse.Namespace], int] = options.command
        return command(options)
    except ConfigError as error:
        return _complain(error, ExitCode.CONFIG)
    except (ModelError, SourceError) as error:
        return _complain(error, ExitCode.DATA)
    except HeimdallError as error:
        return _complain(error, 1)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _complain(error: HeimdallError, code: int) -> int:
    for line in str(error).splitlines():
        print(f"heimdall-edge: {line}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Ends with EX_USAGE, where argparse would say 2."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="heimdall-edge",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"heimdall-edge {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> _Parser:
        made: _Parser = commands.add_parser(name, help=text, description=text)
        made.set_defaults(command=command)
        return made

    _add_run(add("run", _run, "Run the daemon until SIGTERM; SIGHUP reads the configuration again"))
    demo = add("demo", _demo, "Show it: simulated receivers, an embedded broker, fixes and truth")
    demo.add_argument("--seconds", type=float, help="stop after so long; else at Ctrl-C")
    _add_replay(add("replay", _replay, "Send recordings or observations through the same path"))
    check = add("check-config", _check_config, "Say all that is wrong with a configuration")
    check.add_argument("file", nargs="?", type=Path, default=DEFAULT_CONFIG, metavar="FILE")
    add("config-schema", _config_schema, "Print the JSON Schema of the configuration, for editors")
    show = add("show-model", _show_model, "Show a model's manifest, domain and calibration record")
    show.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="default: the built-in one"
    )
    receivers = add("receivers", _receivers, "List the receivers that this host has")
    receivers.add_argument(
        "--config", type=Path, metavar="FILE", help="say which of its receivers are there"
    )
    receivers.add_argument("--json", action="store_true", help="one JSON object, for programs")
    _add_survey(add("survey", _survey, "Say what this host's receivers hear, and draw it"))
    bench = add("bench", _bench, "Measure this machine: CPU by channels, latency, fixes per second")
    bench.add_argument("--seconds", type=float, default=2.0, help="of IQ for each row (default 2)")
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help=f"default {DEFAULT_CONFIG}",
    )
    parser.add_argument(
        "--stdout", action="store_true", help="write JSON lines there, instead of to a broker"
    )


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="receivers and channels; recordings run fast"
    )
    parser.add_argument(
        "--observations",
        type=Path,
        metavar="FILE",
        help="observations as JSON lines, as published ('-': standard input); needs no --config",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where fixes go: JSON lines, or GeoJSON if it ends so (default: standard output)",
    )
    parser.add_argument(
        "--with-observations", action="store_true", help="write each observation as well"
    )
    parser.add_argument("--verbose", action="store_true", help="log each fix")


def _add_survey(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE")
    parser.add_argument("--receiver", metavar="ID", help="only this one (default: all enabled)")
    parser.add_argument(
        "--seconds", type=_survey_seconds, default=20.0, help="how long, to 3600 (default 20)"
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw spectra and waterfalls")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _survey_seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 3_600:
        raise argparse.ArgumentTypeError(f"{text}: expected over 0, to 3600")
    return seconds


def _run(options: argparse.Namespace) -> int:
    signals = ProcessSignals()
    from heimdall_edge.service import run_service

    return run_service(options.config, signals=signals, to_stdout=options.stdout)


def _demo(options: argparse.Namespace) -> int:
    signals = ProcessSignals()
    from heimdall_edge.demo import run_demo

    return run_demo(signals=signals, seconds=options.seconds)


def _replay(options: argparse.Namespace) -> int:
    if options.config is None and options.observations is None:
        print("heimdall-edge replay: expected --config or --observations", file=sys.stderr)
        return ExitCode.USAGE
    signals = ProcessSignals()
    from heimdall_edge.config import Config
    from heimdall_edge.config_file import load_config
    from heimdall_edge.replay import replay

    journal.configure(level="info" if options.verbose else "warning")
    config = load_config(options.config) if options.config else Config()
    return replay(
        config,
        signals=signals,
        observations=options.observations,
        out=options.out,
        with_observations=options.with_observations,
    )


def _check_config(options: argparse.Namespace) -> int:
    from heimdall_edge.config_file import load_config

    config = load_config(options.file)
    print(
        f"{options.file}: good: station {config.station.name!r}, "
        f"{len(config.receivers)} receivers, {len(config.channels)} channels"
    )
    return 0


def _config_schema(_options: argparse.Namespace) -> int:
    from heimdall_edge.config_file import config_json_schema

    print(json.dumps(config_json_schema(), indent=2))
    return 0


def _show_model(options: argparse.Namespace) -> int:
    from heimdall_edge.locate.model import LocatorModel, describe_model, reference_model_path

    model = LocatorModel.load(options.file or reference_model_path(), sha256=None)
    print(describe_model(model))
    return 0


def _receivers(options: argparse.Namespace) -> int:
    from heimdall_edge.config_file import load_config
    from heimdall_edge.sources.inventory import list_receivers

    configured = load_config(options.config).receivers if options.config else None
    if list_receivers(sys.stdout, receivers=configured, as_json=options.json):
        return 0
    print("heimdall-edge: a configured receiver was not found", file=sys.stderr)
    return ExitCode.FAILURE


def _survey(options: argparse.Namespace) -> int:
    from heimdall_edge.config_file import load_config
    from heimdall_edge.survey.command import run_survey

    journal.configure(level="warning")
    return run_survey(
        load_config(options.config),
        seconds=options.seconds,
        receiver_id=options.receiver,
        png=options.png,
        as_json=options.json,
    )


def _bench(options: argparse.Namespace) -> int:
    from heimdall_edge.bench import print_tables

    print_tables(seconds=options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
