"""The command line: what there is to say, and who does it.

A command's own module is imported when it is called, so that asking a running gateway does not wait for what only
running one needs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

EXAMPLES = """\
examples:
  edgeward init modbus://192.0.2.10     ask a device what it has, and write a configuration
  edgeward check edgeward.yaml          what is wrong with a configuration, or what is in it
  edgeward run edgeward.yaml            run the gateway until Ctrl-C or SIGTERM
  edgeward status                       how it is: links, devices, sinks, alarms
  edgeward watch press-1/oil.pressure   see values as they change
  edgeward write press-1/run false      write a tag
  edgeward ack bearing-hot              acknowledge an alarm
  edgeward shelve bearing-hot --for 2h --comment 'bearing on order'
                                        record it, but tell nobody meanwhile
  edgeward journal status               what is on disk, who still has to get it, what was given up
  edgeward drill outage --minutes 5     cut the sinks off on purpose, and see that every promise is kept
  edgeward reload                       apply a changed configuration, or say what is wrong with it

The commands that ask a running gateway are for root and the user that it runs as. They find it by --socket or
--config, else by $EDGEWARD_SOCKET, else by the edgeward.yaml in the working directory.
"""

URLS = "modbus://HOST[?unit=N], opc.tcp://HOST/PATH, mqtt://HOST[?topic=plant/#&seconds=5] or coap://HOST[/PATH]"

VALUE = """\
VALUE is read as JSON where it is a JSON scalar, and as text otherwise: true, 12.5, 7, open, '"7"' for the text 7.
A negative number in scientific notation needs -- before the tag: edgeward write -- tank-1/offset -1e-3
"""

JOURNAL = """\
While the gateway runs, it answers, and goes on with its work; where none runs, its files are opened.
"""

_Commands = argparse._SubParsersAction  # argparse has no public name for what add_subparsers returns


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done; 1 not done, or nobody there; 2 a command line that cannot be understood; 3 the gateway
    failed while it ran."""
    options = parser().parse_args(argv)
    act: Callable[[argparse.Namespace], int] = options.act
    try:
        code = act(options)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads any more, as in `edgeward watch | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="edgeward",
        description="An industrial gateway: machines in, judged on the spot, kept on disk until the cloud has it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and end")
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    _add_local(commands)
    _add_files(commands)
    _add_remote(commands)
    _add_journal(commands)
    _add_drill(commands)
    return top


def _add_local(commands: _Commands[argparse.ArgumentParser]) -> None:
    run = commands.add_parser("run", help="run the gateway until Ctrl-C or SIGTERM")
    run.add_argument("path", type=Path, metavar="CONFIG", help="the configuration, a YAML file")
    run.add_argument("--verbose", action="store_true", help="tell every detail")
    run.add_argument("--last-good", action="store_true", help="run the last one that was accepted if this one is wrong")
    run.add_argument("--data", type=Path, metavar="DIR", help="where that is kept, if CONFIG cannot even say that")
    run.set_defaults(act=_run)
    check = commands.add_parser("check", help="say what is wrong with a configuration, or what is in it")
    check.add_argument("path", type=Path, metavar="CONFIG", help="the configuration, a YAML file")
    check.add_argument("--json", action="store_true", help="for programs")
    check.add_argument("--live", action="store_true", help="try every link and tag on the devices themselves")
    check.add_argument(
        "--wait", type=float, default=10.0, metavar="S", help="seconds for what devices send by themselves (10)"
    )
    check.set_defaults(act=_check)
    schema = commands.add_parser("schema", help="print the JSON schema of the configuration, for editors")
    schema.set_defaults(act=_schema)


def _add_files(commands: _Commands[argparse.ArgumentParser]) -> None:
    init = commands.add_parser("init", help="ask a device what it has, and write a configuration that runs")
    init.add_argument("url", metavar="URL", help=URLS)
    init.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write it; shown unless given")
    init.add_argument("--force", action="store_true", help="overwrite FILE")
    init.set_defaults(act=_init)
    tags = commands.add_parser("tags", help="exchange tags with spreadsheets")
    ways = tags.add_subparsers(title="ways", metavar="WAY", required=True)
    out = ways.add_parser("export", help="the tags of a configuration as CSV")
    out.add_argument("path", type=Path, metavar="CONFIG", help="the configuration, a YAML file")
    out.add_argument("-o", "--output", type=Path, metavar="CSV", help="where to write them; shown unless given")
    out.add_argument("--force", action="store_true", help="overwrite CSV")
    out.set_defaults(act=_export)
    back = ways.add_parser("import", help="change and add tags of a configuration as a CSV file says")
    back.add_argument("sheet", type=Path, metavar="CSV", help="as export writes it, with commas or semicolons")
    back.add_argument("path", type=Path, metavar="CONFIG", help="the configuration, a YAML file; its comments stay")
    back.set_defaults(act=_import)


def _add_remote(commands: _Commands[argparse.ArgumentParser]) -> None:
    asking = argparse.ArgumentParser(add_help=False)
    asking.set_defaults(act=_ask)
    asking.add_argument("--json", action="store_true", help="for programs")
    asking.add_argument("--socket", type=Path, metavar="PATH", help="the control socket of the gateway")
    asking.add_argument("--config", type=Path, metavar="FILE", help="the configuration that the gateway runs")
    commands.add_parser("status", parents=[asking], help="show links, devices, rates, sinks and alarms")
    commands.add_parser("alarms", parents=[asking], help="show every alarm and how it stands")
    watch = commands.add_parser("watch", parents=[asking], help="show values as they change")
    watch.add_argument("tags", nargs="*", metavar="TAG", help="such as press-1/oil.pressure; all unless given")
    read = commands.add_parser("read", parents=[asking], help="show the last value of a tag")
    read.add_argument("tag", metavar="TAG", help="such as press-1/oil.pressure")
    write = commands.add_parser("write", parents=[asking], help="write a tag", epilog=VALUE)
    write.add_argument("tag", metavar="TAG", help="such as press-1/run")
    write.add_argument("value", metavar="VALUE", help="such as false or 12.5")
    ack = commands.add_parser("ack", parents=[asking], help="acknowledge an alarm")
    _add_alarm(ack)
    _add_attention(commands, asking)
    commands.add_parser("reload", parents=[asking], help="apply a changed configuration without a restart")


def _add_journal(commands: _Commands[argparse.ArgumentParser]) -> None:
    journal = commands.add_parser("journal", help="look into what is kept on disk", epilog=JOURNAL)
    works = journal.add_subparsers(title="works", metavar="WORK", dest="work", required=True)
    place = _place()
    works.add_parser("status", parents=[place], help="show what is kept, who still has to get it, what was given up")
    verify = works.add_parser("verify", parents=[place], help="read all of it, and say what is broken")
    verify.add_argument("--segment", type=_number, metavar="N", help="only the segment with this number")
    _add_export(works.add_parser("export", parents=[place], help="write what is kept in the clear"))
    letters = works.add_parser("dead-letters", help="see to what sinks refused for good")
    _add_letters(letters.add_subparsers(title="works", metavar="WORK", dest="work", required=True), place)
    works.add_parser("rotate-key", parents=[place], help="make a new key, and let the one before open nothing")
    recovery = works.add_parser("recovery-key", help="make a key for the safe")
    recovery.add_argument("--json", action="store_true", help="for programs")
    recovery.add_argument(
        "-o", "--output", type=Path, metavar="FILE", default=Path("edgeward-recovery.key"), help="(%(default)s)"
    )
    journal.set_defaults(act=_journal)


def _place() -> argparse.ArgumentParser:
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--json", action="store_true", help="for programs")
    which = place.add_mutually_exclusive_group()
    which.add_argument("--socket", type=Path, metavar="PATH", help="the control socket of the gateway")
    which.add_argument("--config", type=Path, metavar="FILE", help="the configuration that the gateway runs")
    which.add_argument("--data", type=Path, metavar="DIR", help="the data directory, where there is no configuration")
    return place


def _add_export(export: argparse.ArgumentParser) -> None:
    export.add_argument("--from", dest="since", type=_moment, metavar="T", help="what came in from then on")
    export.add_argument(
        "--to", dest="until", type=_moment, metavar="T", help="and before then: a time in UTC, or 2h ago"
    )
    export.add_argument("--tag", metavar="PATTERN", help="such as 'press-1/oil.*'")
    export.add_argument("--device", metavar="D", help="such as press-1")
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="JSON lines, or CSV of values only")
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write it; shown unless given")
    export.add_argument("--force", action="store_true", help="overwrite FILE")
    export.add_argument(
        "--recovery-key", type=Path, metavar="FILE", help="the private half, where the key is lost and no gateway runs"
    )


def _add_letters(works: _Commands[argparse.ArgumentParser], place: argparse.ArgumentParser) -> None:
    show = works.add_parser("show", parents=[place], help="show one, and say what to do")
    show.add_argument("id", type=_number, metavar="ID")
    listing = works.add_parser("list", parents=[place], help="show all of them")
    listing.add_argument("--sink", metavar="S", help="only those of this sink")
    replay = works.add_parser("replay", parents=[place], help="send some to their sinks again")
    drop = works.add_parser("drop", parents=[place], help="drop some for good")
    drop.add_argument("--yes", action="store_true", help="do not ask")
    for some in (replay, drop):
        some.add_argument("ids", nargs="*", type=_number, metavar="ID")
        some.add_argument("--all", action="store_true", help="all of them")
        some.add_argument("--sink", metavar="S", help="all of this sink")


def _add_drill(commands: _Commands[argparse.ArgumentParser]) -> None:
    drill = commands.add_parser("drill", help="try in earnest what is promised")
    kinds = drill.add_subparsers(title="kinds", metavar="KIND", required=True)
    outage = kinds.add_parser("outage", help="cut sinks off on purpose, and watch")
    outage.add_argument("--minutes", type=_minutes, required=True, metavar="N", help="0.1 to 1440")
    outage.add_argument("--sink", action="append", default=[], metavar="S", help="only this one; may come again")
    outage.add_argument("-o", "--output", type=Path, metavar="DIR", help="where to write the report (drill-DATE)")
    outage.add_argument("--yes", action="store_true", help="do not ask")
    outage.add_argument("--json", action="store_true", help="for programs")
    outage.add_argument("--socket", type=Path, metavar="PATH", help="the control socket of the gateway")
    outage.add_argument("--config", type=Path, metavar="FILE", help="the configuration that the gateway runs")
    outage.set_defaults(act=_drill)


def _number(text: str) -> int:
    number = int(text)
    if not 0 < number < 1 << 62:
        raise ValueError
    return number


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes <= 1440:  # a day
        raise argparse.ArgumentTypeError("a drill lasts more than 0 minutes, and 1440 at most")
    return minutes


def _moment(text: str) -> int:
    from gateway.cli.journal.export import moment

    try:
        return moment(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no time: write 2026-11-23T08:15:00Z, or 2h ago as 2h") from None


def _add_attention(commands: _Commands[argparse.ArgumentParser], asking: argparse.ArgumentParser) -> None:
    reset = commands.add_parser("reset", parents=[asking], help="let go of a latched alarm that is over")
    _add_alarm(reset)
    shelve = commands.add_parser("shelve", parents=[asking], help="record an alarm, but tell nobody, for a time")
    _add_alarm(shelve, why=True)
    shelve.add_argument("--for", dest="duration", required=True, metavar="TIME", help="such as 90m; 24h at most")
    unshelve = commands.add_parser("unshelve", parents=[asking], help="take an alarm off the shelf before its time")
    _add_alarm(unshelve)
    service = commands.add_parser("service", parents=[asking], help="take an alarm out of service, or put it back")
    service.add_argument("way", choices=("out", "in"), help="out of service until it is put back, or back in")
    _add_alarm(service)


def _add_alarm(command: argparse.ArgumentParser, why: bool = False) -> None:
    command.add_argument("alarm", metavar="ALARM", help="the name of its rule, such as bearing-hot")
    command.add_argument("--comment", default="", required=why, metavar="TEXT", help="why; kept in the record")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        from importlib.metadata import version

        print(f"edgeward {version('edgeward')}")
        parser.exit()


def _run(options: argparse.Namespace) -> int:
    from gateway.run import run

    return run(options.path, options.verbose, options.last_good, options.data)


def _check(options: argparse.Namespace) -> int:
    if options.live:
        from gateway.cli import live

        return live.run(options.path, options.json, options.wait)
    from gateway.cli import check

    return check.run(options.path, options.json)


def _init(options: argparse.Namespace) -> int:
    from gateway.cli import init

    return init.run(options.url, options.output, options.force)


def _export(options: argparse.Namespace) -> int:
    from gateway.cli import tags

    return tags.export(options.path, options.output, options.force)


def _import(options: argparse.Namespace) -> int:
    from gateway.cli import tags

    return tags.take(options.sheet, options.path)


def _schema(options: argparse.Namespace) -> int:
    from gateway.cli import schema

    return schema.run()


def _journal(options: argparse.Namespace) -> int:
    from gateway.cli import journal

    return journal.run(options)


def _drill(options: argparse.Namespace) -> int:
    from gateway.cli import drill

    return drill.run(options)


def _ask(options: argparse.Namespace) -> int:
    """A command for a running gateway: the module of its name carries it out."""
    from gateway.cli.client import CallFailed, complain, find

    command = import_module(f"gateway.cli.{options.command}")
    try:
        code: int = command.run(find(options), options)
    except CallFailed as error:
        complain(error, options.json)
        return 1
    return code
