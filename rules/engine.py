"""Judges each scan against the rules of its tag group.

Pure and synchronous: the time is an argument, and what is to happen is the answer. The way of a rule:

    scan --> condition (hysteresis) --> on-delay --> alarm --> AlarmChanged, and a Command if the rule writes

**On-delay.** It starts with the good value that makes the condition hold. When it has run out, the next scan that holds
a good value of the rule's tags, or else `tick`, raises the alarm. It runs only while the value is good and fresh: a
value that comes bad, uncertain or as NaN, a gap longer than the group's `stale_after`, or a tag that is not usable when
`tick` looks, ends it, and the next good value is judged as if there had been none before. A column that is
missing from a scan says nothing; the last value stands. Within the deadband the condition still holds, and the delay
goes on. Delays are measured on the monotonic clock; events carry the wall clock.

**Isolation.** A rule that writes gives its command each time its alarm is raised, whoever acknowledges what, and also
while the alarm is suppressed.

**After a restart.** An alarm that stood goes on where its events on disk have led it: its condition holds until a good
value says otherwise. Where nobody has told how its command ended, the same command is given once more, by the first
good value that leaves the condition holding. On-delays start anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain
from typing import NamedTuple, TypeAlias

from gateway.errors import CommandRefused, ConfigError
from gateway.model import AlarmChanged, AnyEvent, Command, Scan, Tag, TagGroup
from rules import deed as deeds
from rules.alarm import Alarm, AlarmStatus, Deed, IllegalMove, Input, Label
from rules.condition import Condition
from rules.settings import Rule, WriteSettings
from rules.standing import Standing

Answer: TypeAlias = AnyEvent | Command


class Moment(NamedTuple):
    """One moment on both clocks, in nanoseconds."""

    now: int
    monotonic: int


@dataclass(slots=True)
class Delay:
    """An on-delay that runs: when it is over, and when the value was last there and good. Both monotonic."""

    due: int
    seen: int


@dataclass(slots=True, eq=False)
class Desk:
    """All that is judged on one tag group, the on-delays that run there, by the key of the rule, and the rules that owe
    a command since before the restart."""

    stale_after: int
    conditions: list[Condition] = field(default_factory=list)
    delays: dict[int, Delay] = field(default_factory=dict)
    owed: set[int] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Watch:
    """One rule at work."""

    key: int
    rule: Rule
    group: TagGroup
    alarm: Alarm
    tags: tuple[str, ...]
    columns: tuple[int, ...]
    condition: Condition
    desk: Desk
    commands: int = 0


class Engine:
    """All rules of a cell.

    `prefix` goes before the id of every command, and must be another one for every engine: a command is known by its id
    for good. `groups` are all tag groups of the cell. Raises ConfigError for a rule that does not suit
    its tags.
    """

    def __init__(self, rules: Sequence[Rule], groups: Sequence[TagGroup], prefix: str) -> None:
        self._prefix = prefix
        self._desks: dict[TagGroup, Desk] = {}
        self._busy: set[Desk] = set()
        homes = {tag.id: group for group in groups for tag in group.columns}
        tags = {tag.id: tag for group in groups for tag in group.columns}
        kinds: dict[tuple[TagGroup, str], list[int]] = {}
        for key, rule in enumerate(rules):
            kinds.setdefault((_home(rule, tags, homes), rule.condition), []).append(key)
        watches: dict[int, Watch] = {}
        for (group, kind), keys in kinds.items():
            condition = _condition(kind)(group, [(key, rules[key].condition_settings) for key in keys])
            desk = self._desks.setdefault(group, Desk(group.stale_after))
            desk.conditions.append(condition)
            watches |= {key: _watch(key, rules[key], group, condition, desk) for key in keys}
        self._watches = [watches[key] for key in range(len(rules))]
        self._alarms = {watch.alarm.name: watch.alarm for watch in self._watches}
        self._shelved: dict[str, int] = {}
        """When each alarm that is shelved comes back (monotonic)."""

    def restore(self, standings: Mapping[str, Standing], moment: Moment) -> None:
        """Go on, after a restart, where the alarms stood. Of one whose rule is another one by now, only what suppresses
        it is left. Called before the first scan."""
        for watch in self._watches:
            if (standing := standings.get(watch.alarm.name)) is not None:
                self._restore(watch, standing, moment)

    def _restore(self, watch: Watch, standing: Standing, moment: Moment) -> None:
        revision = watch.alarm.label.revision
        if standing.revision != revision:
            standing = standing.suppression(revision)
        watch.alarm.standing = standing
        if standing.active:
            watch.condition.resume(watch.key)
            if standing.owed:
                watch.desk.owed.add(watch.key)
        if standing.shelved_until:
            left = min(standing.shelved_until - moment.now, deeds.LONGEST_SHELVING)  # the clock may have been set
            self._shelved[watch.alarm.name] = moment.monotonic + left

    def adopt(self, before: Engine) -> None:
        """Go on from `before` with every rule that is the same in both, on the same tag group: where its alarm stands,
        whether its condition holds, and the on-delay that runs. Any other rule starts anew, though what suppressed its
        alarm stays; and the alarm of a rule that is gone goes with it. Called before the first scan; `before` is not
        asked again."""
        past = {watch.alarm.name: watch for watch in before._watches}
        for watch in self._watches:
            old = past.get(watch.alarm.name)
            if old is not None and old.rule == watch.rule and old.group is watch.group:
                self._continue(watch, old)
            elif old is not None:
                watch.alarm.standing = old.alarm.standing.suppression(watch.alarm.label.revision)
        self._shelved = {name: due for name, due in before._shelved.items() if name in self._alarms}

    def _continue(self, watch: Watch, old: Watch) -> None:
        self._alarms[watch.alarm.name] = watch.alarm = old.alarm
        watch.condition.adopt(watch.key, old.condition, old.key)
        if (delay := old.desk.delays.get(old.key)) is not None:
            watch.desk.delays[watch.key] = delay
            self._busy.add(watch.desk)
        if old.key in old.desk.owed:
            watch.desk.owed.add(watch.key)

    def judge(self, scan: Scan, now: int, monotonic: int) -> Sequence[Answer]:
        """Hold a scan against the rules of its group. What it brings about, in the order in which it is to happen."""
        desk = self._desks.get(scan.group)
        if desk is None:
            return ()
        if desk.delays:
            self._lapse(desk, monotonic)
        answers: list[Answer] = []
        for condition in desk.conditions:
            for key, holds in condition.judge(scan):
                answers += self._turn(self._watches[key], holds, Moment(now, monotonic))
        if desk.delays:
            answers += self._review(desk, scan, Moment(now, monotonic))
        if desk.owed:
            answers += self._settle(desk, scan, monotonic)
        return answers

    def tick(self, now: int, monotonic: int, usable: Callable[[str], bool]) -> Sequence[Answer]:
        """Raise what has waited long enough while no scan came, and take off the shelf what was there long enough.
        `usable` tells of a tag id whether its last value is good and fresh; a delay whose tags are not is dropped."""
        due = sorted(
            (delay.due, key) for desk in self._busy for key, delay in desk.delays.items() if delay.due <= monotonic
        )
        answers: list[Answer] = []
        for _, key in due:
            watch = self._watches[key]
            if all(usable(tag) for tag in watch.tags):
                answers += self._raise(watch, Moment(now, monotonic))
            else:
                self._drop(watch)
        over = [name for name, due in self._shelved.items() if due <= monotonic]
        return answers + [self._move(name, Deed(Input.EXPIRE, ""), Moment(now, monotonic)) for name in over]

    def next_due(self) -> int | None:
        """When the next on-delay or shelving is over (monotonic), for the next call of `tick`; None while none runs."""
        delays = (delay.due for desk in self._busy for delay in desk.delays.values())
        return min(chain(delays, self._shelved.values()), default=None)

    def do(self, alarm: str, deed: Deed, moment: Moment) -> AlarmChanged:
        """What a person does to an alarm. Raises CommandRefused, and then nothing has changed."""
        if alarm not in self._alarms:
            raise CommandRefused(f"there is no alarm {alarm}")
        if (problem := deeds.problem(deed, moment.now)) is not None:
            raise CommandRefused(problem)
        try:
            return self._move(alarm, deed, moment)
        except IllegalMove:
            raise CommandRefused(deeds.refusal(self._alarms[alarm].status(), deed.given)) from None

    def _move(self, name: str, deed: Deed, moment: Moment) -> AlarmChanged:
        event = self._alarms[name].do(deed, moment.now)
        if not event.shelved_until:
            self._shelved.pop(name, None)
        elif deed.given is Input.SHELVE:
            self._shelved[name] = moment.monotonic + event.shelved_until - moment.now
        return event

    def alarms(self) -> list[AlarmStatus]:
        """How every alarm stands, in the order of the rules."""
        return [watch.alarm.status() for watch in self._watches]

    def _turn(self, watch: Watch, holds: bool, moment: Moment) -> Sequence[Answer]:
        if not holds and watch.key in watch.desk.delays:
            self._end(watch)
            return ()
        if not holds:
            return (watch.alarm.turn(False, watch.condition.value(watch.key), moment.now),)
        if watch.rule.settings.on_delay == 0:
            return self._raise(watch, moment)
        watch.desk.delays[watch.key] = Delay(moment.monotonic + watch.rule.settings.on_delay, moment.monotonic)
        self._busy.add(watch.desk)
        return ()

    def _raise(self, watch: Watch, moment: Moment) -> Sequence[Answer]:
        """The alarm, and before it the command: isolation waits for nothing."""
        if watch.key in watch.desk.delays:
            self._end(watch)
        write = watch.rule.settings.write
        command = None if write is None else self._command(watch, write, moment)
        value = watch.condition.value(watch.key)
        event = watch.alarm.turn(True, value, moment.now, command.id if command else "")
        return (event,) if command is None else (command, event)

    def _command(self, watch: Watch, write: WriteSettings, moment: Moment) -> Command:
        watch.commands += 1
        return _isolation(watch, write, f"{self._prefix}/{watch.alarm.name}#{watch.commands}", moment.monotonic)

    def _settle(self, desk: Desk, scan: Scan, monotonic: int) -> list[Answer]:
        """Give the commands that are owed, where the scan holds good values of their rules: if the condition does not
        hold any more, nothing is owed."""
        answers: list[Answer] = []
        doubtful = {key for condition in desk.conditions for key in condition.doubtful(scan)}
        for watch in [self._watches[key] for key in sorted(desk.owed - doubtful)]:
            if not _holds(scan, watch):
                continue
            desk.owed.discard(watch.key)
            write, owed = watch.rule.settings.write, watch.alarm.standing.owed
            if write is not None and owed and watch.alarm.standing.active:
                answers.append(_isolation(watch, write, owed, monotonic))
        return answers

    def _lapse(self, desk: Desk, monotonic: int) -> None:
        """Drop the delays whose values went stale since they were last seen."""
        for key, delay in list(desk.delays.items()):
            if monotonic - delay.seen > desk.stale_after:
                self._drop(self._watches[key])

    def _review(self, desk: Desk, scan: Scan, moment: Moment) -> list[Answer]:
        """What a scan means for the delays that run: a doubtful value ends one, a good one confirms it."""
        for key in [key for condition in desk.conditions for key in condition.doubtful(scan)]:
            if key in desk.delays:
                self._drop(self._watches[key])
        answers: list[Answer] = []
        for key, delay in list(desk.delays.items()):
            watch = self._watches[key]
            if not _holds(scan, watch):
                continue
            delay.seen = moment.monotonic
            if delay.due <= moment.monotonic:
                answers += self._raise(watch, moment)
        return answers

    def _drop(self, watch: Watch) -> None:
        self._end(watch)
        watch.condition.forget(watch.key)

    def _end(self, watch: Watch) -> None:
        del watch.desk.delays[watch.key]
        if not watch.desk.delays:
            self._busy.discard(watch.desk)


def _home(rule: Rule, tags: Mapping[str, Tag], homes: Mapping[str, TagGroup]) -> TagGroup:
    """The tag group that a rule is judged on. Raises ConfigError."""
    problem = rule.problem(tags)
    if problem is not None:
        raise ConfigError(f"rule {rule.name}: {problem}")
    first, *others = {homes[tag] for tag in rule.condition_settings.tags()}
    if others:
        raise ConfigError(f"rule {rule.name}: its tags are read in different tag groups")
    return first


def _holds(scan: Scan, watch: Watch) -> bool:
    """Whether the scan has a value of each of the rule's tags."""
    return scan.columns is None or all(scan.columns[column] for column in watch.columns)


def _isolation(watch: Watch, write: WriteSettings, id_: str, monotonic: int) -> Command:
    return Command(id_, write.tag, write.value, f"rule:{watch.alarm.name}", monotonic + write.expires_after)


def _condition(kind: str) -> type[Condition]:
    """The class that judges rules of a kind. The kinds are those of the settings, so the module is there."""
    condition: type[Condition] = import_module(f"rules.conditions.{kind}").Condition
    return condition


def _watch(key: int, rule: Rule, group: TagGroup, condition: Condition, desk: Desk) -> Watch:
    tags = rule.condition_settings.tags()
    return Watch(
        key=key,
        rule=rule,
        group=group,
        alarm=Alarm(_label(rule)),
        tags=tags,
        columns=tuple(group.index[tag] for tag in tags),
        condition=condition,
        desk=desk,
    )


def _label(rule: Rule) -> Label:
    settings = rule.settings
    tag = rule.condition_settings.tags()[0]
    return Label(rule.name, tag, settings.priority, settings.message, settings.latched, rule.revision())
