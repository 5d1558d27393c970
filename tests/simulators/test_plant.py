from __future__ import annotations

import json

import pytest

from simulators.plant import Plant


def course(plant: Plant, moments: list[float]) -> bytes:
    return json.dumps([dict(plant.read(moment)) for moment in moments]).encode()


def test_the_same_seed_and_steps_give_the_same_values_byte_for_byte() -> None:
    moments = [i / 7 for i in range(50)]
    assert course(Plant(5, 4), moments) == course(Plant(5, 4), moments)
    assert course(Plant(5, 4), moments) != course(Plant(6, 4), moments)


def test_values_do_not_depend_on_how_often_somebody_looked() -> None:
    watched, left_alone = Plant(5, 4), Plant(5, 4)
    for i in range(300):
        watched.read(i / 100)
    assert watched.read(3) == left_alone.read(3)


def test_a_bearing_wears_slowly_then_fast_then_fails() -> None:
    plant = Plant(1, fail_at=20)
    at = {moment: plant.read(moment) for moment in (0, 10, 18, 19.9, 20.5)}
    temperature = {moment: values["bearing.temperature"] for moment, values in at.items()}
    vibration = {moment: values["bearing.vibration"] for moment, values in at.items()}
    assert temperature[10] - temperature[0] < 5 < 25 < temperature[18] - temperature[10]
    assert vibration[10] < 2.5 < 7.1 < vibration[18] < vibration[19.9]
    assert not at[19.9]["failed"]
    assert at[20.5]["failed"]
    assert at[20.5]["motor.current"] == 0
    assert plant.read(25)["running"] is False


def test_a_stopped_pump_cools_and_its_bearing_lasts() -> None:
    plant = Plant(1, fail_at=20)
    hot = plant.read(18)
    plant.write("run", False)
    stopped = plant.read(40)
    assert stopped["bearing.temperature"] < 25 < 80 < hot["bearing.temperature"]
    assert (stopped["failed"], stopped["running"], stopped["rpm"], stopped["flow"]) == (False, False, 0, 0)
    assert stopped["tank.level"] < hot["tank.level"]
    assert stopped["tank.balance"] < 0


def test_a_start_draws_several_times_the_current_and_is_counted() -> None:
    plant = Plant(1)
    plant.write("run", False)
    plant.read(10)
    plant.write("run", True)
    started = plant.read(10.1)
    assert started["motor.current"] > 3 * 22
    assert started["starts"] == 2
    plant.write("run", True)
    assert plant.read(20)["starts"] == 2
    assert plant.read(20)["rpm"] == 2950


def test_a_sound_plant_stays_as_it_is() -> None:
    plant = Plant(3)
    assert plant.read(120)["bearing.temperature"] == pytest.approx(50, abs=1)
    assert plant.read(120)["oil.pressure"] == pytest.approx(4.2, abs=0.1)


@pytest.mark.parametrize("value", [-1, 101, float("nan")])
def test_a_setpoint_out_of_range_changes_nothing(value: float) -> None:
    plant = Plant(1)
    with pytest.raises(ValueError, match=r"speed\.setpoint"):
        plant.write("speed.setpoint", value)
    assert plant.read(1)["speed.setpoint"] == 100


def test_a_measurement_cannot_be_written() -> None:
    with pytest.raises(KeyError):
        Plant(1).write("flow", 1)
