"""A pump that fills a tank, and whose bearing wears and fails. Pure: time is passed in.

The plant moves in steps of 20 ms on a grid of its own, so its values depend on the seed, the time and what was written,
but never on how often somebody looked. Time constants are short, so that people can watch: a bearing that warms up in
an hour in a factory takes seconds here.

| name                | unit | is                                                                        |
|---------------------|------|---------------------------------------------------------------------------|
| bearing.temperature | °C   | 20 cold, about 50 in service, above 80 when the bearing is going          |
| bearing.vibration   | mm/s | velocity, RMS; below 2 in service, above 7.1 is zone D of ISO 20816       |
| motor.current       | A    | 22 at full load, several times that at start, 0 once the overload relay opened |
| motor.temperature   | °C   | winding                                                                   |
| oil.pressure        | bar  | of the bearing's lubrication, made by the shaft                           |
| rpm                 | 1/min| of the shaft                                                              |
| flow                | m³/h | into the tank                                                             |
| tank.level          | %    |                                                                           |
| tank.balance        | l/h  | what flows in less what flows out, signed                                 |
| starts              |      | how often the pump was started                                            |
| running, failed     |      | the shaft turns; the bearing has seized                                   |
| run                 |      | the command; writable                                                     |
| speed.setpoint      | %    | of the rated speed, 0 to 100; writable                                    |
| valve.setpoint      | %    | opening of the tank's outlet, 0 to 100; writable                          |
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from simulators.device import Value

STEP = 0.02
AMBIENT = 20.0
RATED_RPM = 2950.0
RATED_FLOW = 50.0
TANK_M3 = 2.0
RANGES = {"run": (0.0, 1.0), "speed.setpoint": (0.0, 100.0), "valve.setpoint": (0.0, 100.0)}


class Plant:
    """`fail_at` is how many seconds at rated speed the bearing lasts; None is longer than anybody will watch."""

    def __init__(self, seed: int, fail_at: float | None = None) -> None:
        self.settings: dict[str, Value] = {"run": True, "speed.setpoint": 100.0, "valve.setpoint": 60}
        self._noise = random.Random(seed)
        self._life = fail_at or 30 * 86_400.0
        self._steps = 0
        self._wear = 0.0
        self._speed = 1.0  # of the rated speed: the plant is found running
        self._bearing = AMBIENT + 30.0
        self._winding = AMBIENT + 35.0
        self._level = 35.0
        self._balance = 0.0
        self._starts = 1
        self._values: dict[str, Value] = {}
        self._measure()

    @property
    def failed(self) -> bool:
        return self._wear >= 1.0

    def read(self, now: float) -> Mapping[str, Value]:
        """Every value at `now`, in seconds since the plant began; an earlier time than the last reads as that one."""
        while (self._steps + 1) * STEP <= now:
            self._steps += 1
            self._move()
            self._measure()
        return {**self._values, **self.settings}

    def write(self, name: str, value: Value) -> None:
        """Command the pump. It takes effect from the last time that was read."""
        low, high = RANGES[name]
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}, and must be between {low:g} and {high:g}")
        starts = name == "run" and bool(value) and not self.settings["run"]
        self._starts = min(self._starts + starts, 0xFFFF)
        self.settings[name] = type(self.settings[name])(value)

    def _move(self) -> None:
        """One step of explicit Euler; the shortest time constant is five steps long."""
        wanted = self.settings["speed.setpoint"] / 100 if self.settings["run"] and not self.failed else 0.0
        self._speed += (wanted - self._speed) * STEP / (0.1 if self.failed else 0.8)
        self._wear = min(1.0, self._wear + self._speed * STEP / self._life)
        self._warm()
        self._fill()

    def _warm(self) -> None:
        heat = self._speed * (30 + 90 * self._damage)
        self._bearing += (AMBIENT + heat - self._bearing) * STEP / 3.0
        self._winding += (AMBIENT + 0.072 * self._current**2 - self._winding) * STEP / 20.0

    def _fill(self) -> None:
        out = RATED_FLOW * self.settings["valve.setpoint"] / 60 * (max(self._level, 0.0) / 50) ** 0.5  # Torricelli
        self._balance = self._flow - out
        self._level = min(100.0, max(0.0, self._level + self._balance / TANK_M3 * 100 * STEP / 3600))

    @property
    def _damage(self) -> float:
        """What can be felt of the wear: hardly anything for half of its life, then soon everything."""
        return self._wear**4

    @property
    def _flow(self) -> float:
        """The affinity laws, less the head of a full tank; below a third of its speed the check valve stays shut."""
        return RATED_FLOW * self._speed * (1.05 - self._level / 1000) if self._speed > 0.33 else 0.0

    @property
    def _current(self) -> float:
        if not self.settings["run"] or self.failed:  # a seized rotor opens the overload relay
            return 0.0
        slip = max(0.0, self.settings["speed.setpoint"] / 100 - self._speed)
        return 8 + 14 * self._speed**3 * (1 + 0.4 * self._damage) + 100 * slip

    def _measure(self) -> None:
        """What the instruments show: a little noise, and no more digits than they have."""
        noise = self._noise.gauss
        speed, damage = self._speed, self._damage
        self._values = {
            "bearing.temperature": round(self._bearing + noise(0, 0.05), 2),
            "bearing.vibration": round(abs(speed * (1.2 + 12 * damage) * (1 + noise(0, 0.04))), 3),
            "motor.current": round(self._current * (1 + noise(0, 0.005)), 2),
            "motor.temperature": round(self._winding, 1),
            "oil.pressure": round(max(0.0, 4.2 * speed * (1 - 0.3 * damage) * (1 + noise(0, 0.003))), 3),
            "rpm": round(RATED_RPM * speed),
            "flow": round(max(0.0, self._flow * (1 + noise(0, 0.004))), 2),
            "tank.level": round(self._level, 2),
            "tank.balance": round(self._balance * 1000),
            "starts": self._starts,
            "running": speed > 0.05,
            "failed": self.failed,
        }
