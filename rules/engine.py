"""Judges each scan against the rules of its tag group.

Pure and synchronous: the time is an argument, and what is to happen is the answer. The way of a rule:

    scan --> condition (hysteresis) --> on-delay --> alarm --> AlarmChanged, and a Command if the rule writes

**On-delay.** It starts with the good value that makes the condition hold. When it has run out, the next scan that holds
a good value of the rule's tags, or else `tick`, raises the alarm. It runs only while the value is good and fresh: a
value that comes bad, uncertain or as NaN, a gap longer than the group's `stale_after`, or a tag that is not usable when
`tick` looks, ends it, and the next good value is judged as if there had been none before. A column that is
missing from a scan says nothing; the last value stands. Within the deadband the condition still holds, and the delay
goes on. Delays are measured on the monotonic clock; events carry the wall clock.

**Wide conditions** read tags of several groups: each scan of one of these has them judged, by the last values of all.
Their on-delay runs while the condition is known to hold; it ends when that becomes unknown, and be it by a value that
goes stale, for which `tick` is called, too.

**Quarantine.** Judging raises nothing; where it does, that is a bug, and costs the one rule in which it is, until the
configuration is read again. Its on-delay ends, its alarm stays as it is, and the others are judged.

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
from typing import Any, NamedTuple, TypeAlias

from gateway.errors import CommandRefused, ConfigError
from gateway.model import AlarmChanged, AnyEvent, Command, RuleFailed, Scan, Tag, TagGroup
from rules import deed as deeds
from rules.alarm import Alarm, AlarmStatus, Deed, IllegalMove, Input, Label
from rules.condition import Condition, Look, WideCondition
from rules.settings import Rule, WriteSettings
from rules.standing import Standing

Answer: TypeAlias = AnyEvent | Command | RuleFailed


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
class WideDesk:
    """All wide rules of one kind, on whatever groups, and their on-delays."""

    condition: WideCondition
    delays: dict[int, Delay] = field(default_factory=dict)
    owed: set[int] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Watch:
    """One rule at work. `columns` are those of its tags in its group, where there is but one."""

    key: int
    rule: Rule
    groups: tuple[TagGroup, ...]
    alarm: Alarm
    tags: tuple[str, ...]
    columns: tuple[int, ...]
    condition: Condition | WideCondition
    desk: Desk | WideDesk
    commands: int = 0
    fault: str = ""


class Engine:
    """All rules of a cell.

    `prefix` goes before the id of every command, and must be another one for every engine: a command is known by its id
    for good. `groups` are all tag groups of the cell. Raises ConfigError for a rule that does not suit
    its tags.
    """

    def __init__(self, rules: Sequence[Rule], groups: Sequence[TagGroup], prefix: str) -> None:
        self._prefix = prefix
        self._desks: dict[TagGroup, Desk] = {}
        self._wide: dict[TagGroup, list[WideDesk]] = {}
        self._busy: set[Desk | WideDesk] = set()
        self._homes = {tag.id: group for group in groups for tag in group.columns}
        tags = {tag.id: tag for group in groups for tag in group.columns}
        kinds: dict[tuple[TagGroup | None, str], dict[int, Rule]] = {}
        for key, rule in enumerate(rules):
            home = self._home(rule, tags)
            kinds.setdefault((home, rule.condition), {})[key] = rule
        watches: dict[int, Watch] = {}
        for (group, kind), members in kinds.items():
            watches |= self._widely(kind, members) if group is None else self._on(group, kind, members)
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

    def _home(self, rule: Rule, tags: Mapping[str, Tag]) -> TagGroup | None:
        """The tag group that a rule is judged on; None for a wide one. Raises ConfigError."""
        problem = rule.problem(tags)
        if problem is not None:
            raise ConfigError(f"rule {rule.name}: {problem}")
        if rule.condition_settings.wide:
            return None
        first, *others = self._read(rule)
        if others:
            raise ConfigError(f"rule {rule.name}: its tags are read in different tag groups")
        return first

    def _read(self, rule: Rule) -> tuple[TagGroup, ...]:
        return tuple(dict.fromkeys(self._homes[tag] for tag in rule.condition_settings.tags()))

    def _on(self, group: TagGroup, kind: str, rules: Mapping[int, Rule]) -> dict[int, Watch]:
        """The rules of one kind on one group."""
        made: Condition = _condition(kind)(group, [(key, rule.condition_settings) for key, rule in rules.items()])
        desk = self._desks.setdefault(group, Desk(group.stale_after))
        desk.conditions.append(made)
        return {key: _watch(key, rule, (group,), made, desk) for key, rule in rules.items()}

    def _widely(self, kind: str, rules: Mapping[int, Rule]) -> dict[int, Watch]:
        """The wide rules of one kind."""
        groups = tuple(dict.fromkeys(group for rule in rules.values() for group in self._read(rule)))
        entries = [(key, rule.condition_settings) for key, rule in rules.items()]
        made: WideCondition = _condition(kind)(groups, entries)
        desk = WideDesk(made)
        for group in groups:
            self._wide.setdefault(group, []).append(desk)
        return {key: _watch(key, rule, self._read(rule), made, desk) for key, rule in rules.items()}

    def adopt(self, before: Engine) -> None:
        """Go on from `before` with every rule that is the same in both, on the same tag group: where its alarm stands,
        whether its condition holds, and the on-delay that runs. Any other rule starts anew, though what suppressed
        its alarm stays; and the alarm of a rule that is gone goes with it. Called before the first scan; `before` is
        not asked again. `recall` comes next."""
        past = {watch.alarm.name: watch for watch in before._watches}
        for watch in self._watches:
            old = past.get(watch.alarm.name)
            if old is not None and old.rule == watch.rule and old.groups == watch.groups:
                self._continue(watch, old)
            elif old is not None:
                watch.alarm.standing = old.alarm.standing.suppression(watch.alarm.label.revision)
        self._shelved = {name: due for name, due in before._shelved.items() if name in self._alarms}

    def recall(self, look: Look) -> None:
        """Take over the last values from the image, for the rules that read several groups."""
        for desk in self._wide_desks():
            desk.condition.recall(look)

    def _wide_desks(self) -> list[WideDesk]:
        return list(dict.fromkeys(desk for desks in self._wide.values() for desk in desks))

    def _continue(self, watch: Watch, old: Watch) -> None:
        self._alarms[watch.alarm.name] = watch.alarm = old.alarm
        _adopt(watch, old)
        if (delay := old.desk.delays.get(old.key)) is not None:
            watch.desk.delays[watch.key] = delay
            self._busy.add(watch.desk)
        if old.key in old.desk.owed:
            watch.desk.owed.add(watch.key)

    def judge(self, scan: Scan, now: int, monotonic: int) -> Sequence[Answer]:
        """Hold a scan against the rules that read its group. What it brings about, in the order in which it is to
        happen."""
        desk, wide = self._desks.get(scan.group), self._wide.get(scan.group)
        answers = [] if desk is None else self._judge(desk, scan, Moment(now, monotonic))
        for each in wide or ():
            answers += self._judge_widely(each, scan, Moment(now, monotonic))
        return answers

    def _judge(self, desk: Desk, scan: Scan, moment: Moment) -> list[Answer]:
        if desk.delays:
            self._lapse(desk, moment.monotonic)
        answers: list[Answer] = []
        failed: list[Condition] = []
        for condition in desk.conditions:
            try:
                transitions = condition.judge(scan)
            except Exception:
                failed.append(condition)
                continue
            for key, holds in transitions:
                answers += self._turn(self._watches[key], holds, moment)
        for condition in failed:
            answers += self._separate(desk, condition, scan, moment)
        if desk.delays:
            answers += self._review(desk, scan, moment)
        if desk.owed:
            answers += self._settle(desk, scan, moment)
        return answers

    def _separate(self, desk: Desk, failed: Condition, scan: Scan, moment: Moment) -> list[Answer]:
        """Find the rules in which the bug is, by judging each by itself, and go on with the others."""
        desk.conditions.remove(failed)
        answers: list[Answer] = []
        sound: list[Watch] = []
        for watch in [watch for watch in self._watches if watch.condition is failed]:
            try:
                _succeed(failed, scan.group, [watch]).judge(scan)
            except Exception as error:
                answers.append(self._quarantine(watch, error))
            else:
                sound.append(watch)
        if sound:
            joint = _succeed(failed, scan.group, sound)
            desk.conditions.append(joint)
            for watch in sound:
                watch.condition = joint
            for key, holds in joint.judge(scan):
                answers += self._turn(self._watches[key], holds, moment)
        return answers

    def _quarantine(self, watch: Watch, error: Exception) -> RuleFailed:
        if watch.key in watch.desk.delays:
            self._end(watch)
        watch.fault = f"{type(error).__name__}: {error}"
        return RuleFailed(watch.alarm.name, error)

    def _judge_widely(self, desk: WideDesk, scan: Scan, moment: Moment) -> list[Answer]:
        """What went stale before this scan did so, even if it is fresh again with it."""
        answers = self._lapse_widely(desk, moment)
        for key in desk.condition.update(scan, moment.monotonic):
            answers += self._ask(desk, self._watches[key], moment)
        for key in [key for key, delay in desk.delays.items() if delay.due <= moment.monotonic]:
            answers += self._raise(self._watches[key], moment)
        return answers

    def tick(self, now: int, monotonic: int, usable: Callable[[str], bool]) -> Sequence[Answer]:
        """Raise what has waited long enough while no scan came, and take off the shelf what was there long enough.
        `usable` tells of a tag id whether its last value is good and fresh; a delay whose tags are not is dropped. A
        wide rule knows that by itself."""
        answers: list[Answer] = []
        for desk in [desk for desk in self._busy if isinstance(desk, WideDesk)]:
            answers += self._lapse_widely(desk, Moment(now, monotonic))
        due = sorted(
            (delay.due, key) for desk in self._busy for key, delay in desk.delays.items() if delay.due <= monotonic
        )
        for _, key in due:
            watch = self._watches[key]
            if isinstance(watch.desk, WideDesk) or all(usable(tag) for tag in watch.tags):
                answers += self._raise(watch, Moment(now, monotonic))
            else:
                self._drop(watch)
        over = [name for name, until in self._shelved.items() if until <= monotonic]
        return answers + [self._move(name, Deed(Input.EXPIRE, ""), Moment(now, monotonic)) for name in over]

    def next_due(self) -> int | None:
        """When the next shelving or on-delay is over, or may end for want of a fresh value (monotonic): for the next
        call of `tick`; None while none runs."""
        dues = [delay.due for desk in self._busy for delay in desk.delays.values()]
        lapses = [desk.condition.next_lapse() for desk in self._busy if isinstance(desk, WideDesk)]
        known = (lapse + 1 for lapse in lapses if lapse is not None)
        return min(chain(dues, known, self._shelved.values()), default=None)

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
        return [watch.alarm.status(watch.fault) for watch in self._watches]

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

    def _settle(self, desk: Desk, scan: Scan, moment: Moment) -> list[Answer]:
        """Give the commands that are owed, where the scan holds good values of their rules."""
        doubtful = {key for condition in desk.conditions for key in condition.doubtful(scan)}
        known = [self._watches[key] for key in sorted(desk.owed - doubtful)]
        return [answer for watch in known if _has(scan, watch) for answer in self._repay(watch, moment)]

    def _repay(self, watch: Watch, moment: Moment) -> Sequence[Answer]:
        """Give the command that a rule owes, now that it is known again whether its condition holds: if it does not,
        nothing is owed."""
        watch.desk.owed.discard(watch.key)
        standing, write = watch.alarm.standing, watch.rule.settings.write
        if write is None or watch.fault or not (standing.active and standing.owed):
            return ()
        return (_isolation(watch, write, standing.owed, moment.monotonic),)

    def _lapse(self, desk: Desk, monotonic: int) -> None:
        """Drop the delays whose values went stale since they were last seen."""
        for key, delay in list(desk.delays.items()):
            if monotonic - delay.seen > desk.stale_after:
                self._drop(self._watches[key])

    def _lapse_widely(self, desk: WideDesk, moment: Moment) -> list[Answer]:
        desk.condition.lapse(moment.monotonic)
        return [answer for key in list(desk.delays) for answer in self._ask(desk, self._watches[key], moment)]

    def _ask(self, desk: WideDesk, watch: Watch, moment: Moment) -> Sequence[Answer]:
        """Have a wide rule judged. An on-delay ends when nobody knows whether it still holds."""
        if watch.fault:
            return ()
        try:
            holds = desk.condition.judge(watch.key)
        except Exception as error:
            return (self._quarantine(watch, error),)
        is_delayed = watch.key in desk.delays
        if holds is None and is_delayed:
            self._drop(watch)
        is_as_before = holds is (is_delayed or watch.alarm.standing.active)
        if holds is None or is_as_before:
            return self._repay(watch, moment) if holds and watch.key in desk.owed else ()
        desk.owed.discard(watch.key)
        return self._turn(watch, holds, moment)

    def _review(self, desk: Desk, scan: Scan, moment: Moment) -> list[Answer]:
        """What a scan means for the delays that run: a doubtful value ends one, a good one confirms it."""
        for key in [key for condition in desk.conditions for key in condition.doubtful(scan)]:
            if key in desk.delays:
                self._drop(self._watches[key])
        answers: list[Answer] = []
        for key, delay in list(desk.delays.items()):
            watch = self._watches[key]
            if not _has(scan, watch):
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


def _has(scan: Scan, watch: Watch) -> bool:
    """Whether the scan has a value of each of the rule's tags."""
    return scan.columns is None or all(scan.columns[column] for column in watch.columns)


def _isolation(watch: Watch, write: WriteSettings, id_: str, monotonic: int) -> Command:
    return Command(id_, write.tag, write.value, f"rule:{watch.alarm.name}", monotonic + write.expires_after)


def _condition(kind: str) -> Any:
    """The class that judges rules of a kind. The kinds are those of the settings, so the module is there."""
    return import_module(f"rules.conditions.{kind}").Condition


def _succeed(before: Condition, group: TagGroup, watches: Sequence[Watch]) -> Condition:
    """A condition for some of the rules of another, which goes on where that stands with them."""
    made = type(before)(group, [(watch.key, watch.rule.condition_settings) for watch in watches])
    for watch in watches:
        made.adopt(watch.key, before, watch.key)
    return made


def _adopt(watch: Watch, old: Watch) -> None:
    """Both are of one rule, and so of one kind."""
    match watch.condition, old.condition:
        case (Condition() as condition, Condition() as before):
            condition.adopt(watch.key, before, old.key)
        case (WideCondition() as wide, WideCondition() as before):
            wide.adopt(watch.key, before, old.key)


def _watch(
    key: int, rule: Rule, groups: tuple[TagGroup, ...], condition: Condition | WideCondition, desk: Desk | WideDesk
) -> Watch:
    tags = rule.condition_settings.tags()
    return Watch(
        key=key,
        rule=rule,
        groups=groups,
        alarm=Alarm(_label(rule)),
        tags=tags,
        columns=tuple(groups[0].index[tag] for tag in tags) if len(groups) == 1 else (),
        condition=condition,
        desk=desk,
    )


def _label(rule: Rule) -> Label:
    settings = rule.settings
    tag = rule.condition_settings.tags()[0]
    return Label(rule.name, tag, settings.priority, settings.message, settings.latched, rule.revision())
