"""MQTT 5: a message of JSON for each row and each event; and commands from the far side down.

Each message bears its id, the user property `id`, by which a repeat can be told: see `_identity`. Telemetry and orders
go by a session each, so that neither can hold the other up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

from paho.mqtt.client import MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import AfterValidator, Field, model_validator

from gateway import contracts, fields
from gateway.clock import SECOND
from gateway.contracts import Ability, Orders, Repeats
from gateway.errors import (
    ChunkRejected,
    ChunkTooLarge,
    ConfigError,
    ConnectionLost,
    GatewayError,
    ServerFailed,
    SinkHeld,
)
from gateway.fields import Duration, parse_duration
from gateway.model import AnyEvent, Rows
from gateway.mqtt import packet, topic
from gateway.mqtt.packet import about_publish, publish_size
from gateway.mqtt.session import Answer, Session, SessionEnded, Terms
from gateway.mqtt.settings import BrokerSettings
from gateway.sinks import _intake
from gateway.sinks._intake import Intake
from gateway.sinks._json import Message, event_messages, row_messages
from gateway.sinks._stamp import stamp

_PLACE: Final = {"site": "site", "cell": "cell"}
_ROW: Final = {**_PLACE, "device": "device", "group": "group"}
_EVENT: Final = {**_PLACE, "type": "type"}

_BREATH: Final = 8
"""Messages in one turn of the event loop: half a millisecond's worth."""
_QUOTA_S: Final = 10.0

_ALIKE: Final = 3
_MOST_PLACES: Final = 100
_QUOTA: Final = 151
_REFUSALS: Final[dict[int, type[GatewayError]]] = {
    135: SinkHeld,  # not authorized
    144: ChunkRejected,  # topic name invalid
    149: ChunkTooLarge,
    153: ChunkRejected,  # payload format invalid
}


def _template(known: Mapping[str, str], check: Callable[[str], None]) -> AfterValidator:
    """A topic with placeholders, which must be one once they are filled in."""

    def validate(text: str) -> str:
        topic.check_placeholders(text, known)
        check(topic.fill(text, known))
        return text

    return AfterValidator(validate)


RowTopic: TypeAlias = Annotated[str, _template(_ROW, topic.check_name)]
EventTopic: TypeAlias = Annotated[str, _template(_EVENT, topic.check_name)]
OrderTopic: TypeAlias = Annotated[str, _template(_PLACE, topic.check_filter)]
ReplyTopic: TypeAlias = Annotated[str, _template(_PLACE, topic.check_name)]


class CommandSettings(fields.CommandSettings):
    """Who may publish to `topic` may write these tags: it is the broker's access list that says who."""

    topic: OrderTopic = Field(
        description="where commands come from; {site} and {cell} are filled in, + and # as in MQTT"
    )
    reply_topic: ReplyTopic | None = Field(
        None, description="where answers go to, unless a command names its own response topic"
    )


class Settings(BrokerSettings, fields.SinkSettings):
    """A broker, and what to call things there."""

    sink: Literal["mqtt"]
    topic: RowTopic = Field(
        "edgeward/{site}/{cell}/{device}/{group}",
        max_length=1024,
        description="where rows go to; {site}, {cell}, {device} and {group} are filled in",
    )
    event_topic: EventTopic = Field(
        "edgeward/{site}/{cell}/events/{type}",
        max_length=1024,
        description="where events go to; {site}, {cell} and {type} are filled in",
    )
    client_id: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="what the broker knows the session by, with -orders behind it that of the commands; one is made up "
        "unless set",
    )
    timeout: Duration = Field(parse_duration("10s"), gt=0, description="how long the broker may take for an answer")
    plain_password: bool = Field(
        False, description="send the password even where nothing on the way to another machine encrypts it"
    )
    commands: CommandSettings | None = Field(None, description="what may be written from there; nothing unless set")

    @model_validator(mode="after")
    def _hides_password(self) -> Settings:
        if self.password is not None and self.tls is None and not self.plain_password and not _is_here(self.host):
            raise ValueError("the password would go unencrypted: set tls: {}, or plain_password: true")
        return self


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Parcel(NamedTuple):
    """A message with its address. `points` is how many values could be parted."""

    topic: str
    time: int
    body: bytes
    id: str
    points: int

    @property
    def place(self) -> tuple[str, int]:
        """What a row keeps when it is parted."""
        return self.topic, self.time


class Sink(contracts.Sink):
    """One session for what goes up, kept open between writes, and one for what comes down."""

    ability = Ability(precision=1, repeats=Repeats.MARKED, typed=False)

    def __init__(self, settings: Settings, site: str, cell: str) -> None:
        self.commands = settings.commands
        self._settings = settings
        self._site = site
        self._cell = cell
        self._place = {"site": site, "cell": cell}
        self._patience_s = settings.timeout / SECOND
        self._client_id = settings.client_id or _client_id(settings, site, cell)
        self._session: Session | None = None
        self._hung_up: dict[tuple[str, int], int] = {}
        self._topic_of = lru_cache(maxsize=4096)(self._fill)
        self._intake: Intake | None = None
        if settings.commands is not None:
            reply = settings.commands.reply_topic
            self._intake = Intake(
                topic.fill(settings.commands.topic, self._place),
                None if reply is None else topic.fill(reply, self._place),
                self._place,
            )

    async def write(self, rows: Sequence[Rows]) -> None:
        await self._deliver(await asyncio.to_thread(lambda: list(self._rows(rows))))

    async def report(self, events: Sequence[AnyEvent]) -> None:
        await self._deliver(list(self._events(events)))

    async def listen(self, orders: Orders) -> None:
        if self._intake is None or self._settings.commands is None:
            return
        terms = Terms(
            session_expiry=self._settings.commands.max_age,  # what waits there longer would be refused here
            most_received=_intake.MOST_RECEIVED,
            max_packet=_intake.MOST_PACKET,
            timeout=self._settings.timeout,
        )
        try:
            await self._intake.serve(
                lambda deliver: Session(self._settings, f"{self._client_id}-orders", terms, deliver),
                orders,
                self._patience_s,
            )
        except ConfigError as error:
            raise SinkHeld(str(error)) from error

    async def close(self) -> None:
        self._drop()

    # Rendering

    def _rows(self, rows: Iterable[Rows]) -> Iterator[_Parcel]:
        for message in row_messages(rows, self._place):
            yield self._parcel(self._topic_of(message.device, message.group), message)

    def _events(self, events: Iterable[AnyEvent]) -> Iterator[_Parcel]:
        for message in event_messages(events, self._place):
            name = topic.fill(self._settings.event_topic, {**self._place, "type": message.kind})
            yield self._parcel(name, message)

    def _parcel(self, name: str, message: Message) -> _Parcel:
        id_ = stamp(message, self._site, self._cell)
        return _Parcel(name, message.time, message.body, id_, message.points)

    def _fill(self, device: str, group: str) -> str:
        return topic.fill(self._settings.topic, {**self._place, "device": device, "group": group})

    # Sending

    async def _deliver(self, parcels: Sequence[_Parcel]) -> None:
        """A session is given up with the first thing that goes wrong with it; one that stands survives a refusal."""
        if not parcels:
            return
        try:
            session = await self._connected()
            for parcel in parcels:
                _check_size(parcel, session)
            await self._publish(session, parcels)
        except (ChunkRejected, ChunkTooLarge):
            raise  # where it came with the end of the session, the next write finds that out
        except ConfigError as error:
            self._drop()
            raise SinkHeld(str(error)) from error
        except TimeoutError:
            self._drop()
            raise ConnectionLost(f"{self._where} gave no answer within {self._patience_s:g} s") from None
        except BaseException:
            self._drop()
            raise

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    async def _connected(self) -> Session:
        """The session that stands, or a new one. The secret is read anew for each."""
        if self._session is not None and self._session.stands:
            return self._session
        self._drop()
        terms = Terms(max_packet=_intake.MOST_PACKET, timeout=self._settings.timeout)
        self._session = Session(self._settings, self._client_id, terms, _ignore)
        async with asyncio.timeout(self._patience_s):
            await self._session.open()
        if not self._session.takes_qos_1:
            raise ConfigError(f"the broker {self._where} takes QoS 0 only, which acknowledges nothing")
        return self._session

    async def _publish(self, session: Session, parcels: Sequence[_Parcel]) -> None:
        """As many at once as the broker bears. Returns when it has acknowledged all."""
        flying: deque[tuple[_Parcel, Answer]] = deque()
        try:
            for number, parcel in enumerate(parcels):
                if number % _BREATH == 0:
                    await asyncio.sleep(0)
                async with asyncio.timeout(self._patience_s):
                    flying.append((parcel, await session.send(parcel.topic, parcel.body, _about(parcel.id))))
                while flying[0][1].done():
                    await self._settle(session, flying)
            while flying:
                async with asyncio.timeout(self._patience_s):
                    await self._settle(session, flying)
        except ConnectionLost as error:
            raise self._suspect(error, flying) from error

    async def _settle(self, session: Session, flying: deque[tuple[_Parcel, Answer]]) -> None:
        """The oldest."""
        parcel, answer = flying[0]
        (reason,) = await session.outcome(answer)
        flying.popleft()
        if reason.is_failure:
            raise _refusal(reason, parcel.topic)

    def _suspect(self, error: ConnectionLost, flying: deque[tuple[_Parcel, Answer]]) -> GatewayError:
        """A broker that hangs up again and again on the same row does not say so, but it refuses it."""
        meant = _ended(error) if isinstance(error, SessionEnded) else error
        if not isinstance(meant, ConnectionLost) or meant.retry_after_s or not flying:
            return meant
        place = flying[0][0].place
        times = self._hung_up[place] = self._hung_up.pop(place, 0) + 1
        while len(self._hung_up) > _MOST_PLACES:
            del self._hung_up[next(iter(self._hung_up))]
        return meant if times < _ALIKE else ServerFailed(f"{self._where} hangs up on what goes to {place[0]}")

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def _about(id_: str) -> Properties:
    return about_publish(UserProperty=("id", id_), ContentType="application/json", PayloadFormatIndicator=1)


_ABOUT_LENGTH: Final = packet.length(_about("0" * 32))


def _check_size(parcel: _Parcel, session: Session) -> None:
    size = publish_size(parcel.topic, _ABOUT_LENGTH, parcel.body)
    if size <= session.max_packet:
        return
    text = f"a message of {size} bytes to {parcel.topic}: the broker takes at most {session.max_packet}"
    raise ChunkTooLarge(text) if parcel.points > 1 else ChunkRejected(text)


def _refusal(reason: ReasonCode, name: str) -> GatewayError:
    """What a PUBACK says (MQTT 5.0, 3.4.2.1), as what to do about it."""
    text = f"the broker refuses {name}: {reason}"
    if reason.value == _QUOTA:
        return ConnectionLost(text, _QUOTA_S)
    return _REFUSALS.get(reason.value, ServerFailed)(text)


def _ended(error: SessionEnded) -> GatewayError:
    """The same of a DISCONNECT (3.14.2.1): some brokers answer to content by hanging up."""
    if error.code == _QUOTA:
        return ConnectionLost(str(error), _QUOTA_S)
    return _REFUSALS.get(error.code, ConnectionLost)(str(error))


def _client_id(settings: Settings, site: str, cell: str) -> str:
    """The same for the same sink over restarts, and another for another sink of the cell."""
    aim = f"{settings.host}:{settings.port}/{settings.topic}"
    return f"edgeward-{site}-{cell}-{blake2b(aim.encode(), digest_size=4).hexdigest()}"


def _ignore(message: MQTTMessage) -> None:
    """Nothing was subscribed to."""
