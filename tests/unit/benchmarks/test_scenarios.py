"""Scenarios: what a file may contain, and how scenarios and contenders are chosen."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from benchmarks.contenders import CONTENDERS, choose_contenders
from benchmarks.results import minimum_requests
from benchmarks.scenarios import SCENARIO_FILE, ScenarioKind, choose_scenarios, load_scenarios, parse_scenarios
from server.core.errors import ConfigurationError
from server.lean.series import Resolution
from server.trading_calendar import USEquityTradingCalendar

PLAIN = """
[[scenario]]
name = "small"
kind = "cold"
symbols = ["aapl", "SPY"]
resolution = "minute"
first = 2024-01-02
days = 3
bars = 390
"""


def calendar() -> USEquityTradingCalendar:
    """Sessions of early 2024, as the exchange announced them: New Year's Day and 15 January are holidays."""
    holidays = {date(2024, 1, 1), date(2024, 1, 15)}
    days = [date(2024, 1, day) for day in range(1, 32)]
    return USEquityTradingCalendar(
        [day for day in days if day.weekday() < 5 and day not in holidays], {}, date(2024, 1, 31)
    )


def test_a_scenario_is_read() -> None:
    """Each setting is an attribute; symbols are in LEAN's spelling; the title describes the scenario."""
    (one,) = parse_scenarios(PLAIN, "here", CONTENDERS)

    assert (one.name, one.kind, one.symbols) == ("small", ScenarioKind.COLD, ("AAPL", "SPY"))
    assert (one.resolution, one.first, one.days, one.bars) == (Resolution.MINUTE, date(2024, 1, 2), 3, 390)
    assert one.title == "2 symbols x 3 days x 390 minute bars, cold"
    assert one.total_bars == 2 * 3 * 390
    assert not one.made_up


def test_its_days_are_sessions() -> None:
    """The given number of sessions from the first day on; live the last ones up to a week before today."""
    (one,) = parse_scenarios(PLAIN.replace("2024-01-02", "2024-01-12"), "here", CONTENDERS)

    assert one.sessions(calendar()) == (date(2024, 1, 12), date(2024, 1, 16), date(2024, 1, 17))
    assert one.sessions(calendar(), date(2024, 1, 23)) == (date(2024, 1, 11), date(2024, 1, 12), date(2024, 1, 16))


def test_days_outside_the_calendar_are_an_error() -> None:
    """More days than sessions is an error with the number of sessions: 29, 30 and 31 January."""
    (one,) = parse_scenarios(PLAIN.replace("2024-01-02", "2024-01-29").replace("days = 3", "days = 9"), "", CONTENDERS)

    with pytest.raises(ConfigurationError, match=r"scenario small: the calendar has only 3 of 9 days"):
        one.sessions(calendar())


def test_a_series_has_a_scenario_for_each_step() -> None:
    """Over days the range grows, over symbols the list does."""
    days = parse_scenarios(PLAIN + 'over = "days"\nsteps = [1, 5]', "", CONTENDERS)
    symbols = parse_scenarios(PLAIN + 'over = "symbols"\nsteps = [1, 2]', "", CONTENDERS)

    assert [(one.name, one.series, one.over, one.days) for one in days] == [
        ("small-1", "small", "days", 1),
        ("small-5", "small", "days", 5),
    ]
    assert [(one.name, one.symbols) for one in symbols] == [("small-1", ("AAPL",)), ("small-2", ("AAPL", "SPY"))]


def test_symbols_can_be_made_up() -> None:
    """A number gives that number of symbols that do not exist."""
    (one,) = parse_scenarios(PLAIN.replace('["aapl", "SPY"]', "3"), "", CONTENDERS)

    assert one.symbols == ("S000", "S001", "S002")
    assert one.made_up


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name =", "nam ="), "scenario number 1: there is no setting 'nam'; did you mean name?"),
        (('"cold"', '"warm"'), "scenario small: Invalid enum value 'warm'"),
        (("days = 3", 'days = "3"'), "scenario small: Expected `int`, got `str`"),
        (("days = 3", "days = 0"), "scenario small: days and runs must be at least 1"),
        (("bars = 390", "bars = 961"), "scenario small: bars must be 1 to 960 for minute bars"),
        (('"minute"', '"hour"'), "scenario small: the resolution must be one of daily, minute, second"),
        (('"SPY"', '"no symbol"'), "scenario small: 'no symbol' is not a US equity symbol"),
        (('"SPY"', '"AAPL"'), "symbols must be a number of at least 1, or a list without repetitions"),
        (('"small"', '"two words"'), "its name must be one word"),
        (('"cold"', '"budget"'), "per_minute, at least 1, is required for the kind 'budget'"),
        (("bars = 390", "bars = 390\nper_minute = 5"), "per_minute, at least 1, is required for the kind 'budget'"),
        (("bars = 390", 'contenders = ["poligon"]'), "there is no contender 'poligon'; did you mean polygon?"),
        (("bars = 390", "steps = [1]"), "'over' and 'steps' must be set together"),
        (("bars = 390", 'over = "symbols"\nsteps = [3]'), "a step needs 3 symbols, and only 2 are listed"),
        (("[[scenario]]", "[scenario]"), "must contain tables [[scenario]] and nothing else"),
        (("[[scenario]]", "x = 1\n[[scenario]]"), "and nothing else; found 'x'"),
        (("name =", "name"), "is not valid TOML"),
    ],
)
def test_an_invalid_file_is_an_error(change: tuple[str, str], message: str) -> None:
    """The error names the file, the scenario, what is wrong, and what is valid."""
    with pytest.raises(ConfigurationError) as refused:
        parse_scenarios(PLAIN.replace(*change), "my.toml", CONTENDERS)

    assert str(refused.value).startswith("my.toml")
    assert message in str(refused.value)


@pytest.mark.parametrize("kind", ["gaps", "crash"])
def test_daily_bars_have_no_file_for_each_day(kind: str) -> None:
    """Kinds that delete or count files of days cannot be used with daily bars."""
    text = PLAIN.replace('"cold"', f'"{kind}"').replace('"minute"', '"daily"').replace("bars = 390", "")

    with pytest.raises(ConfigurationError, match="needs a file for each day"):
        parse_scenarios(text, "", CONTENDERS)


def test_names_are_unique() -> None:
    """Two scenarios with one name are an error."""
    with pytest.raises(ConfigurationError, match="two scenarios are named 'small'"):
        parse_scenarios(PLAIN * 2, "", CONTENDERS)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(ConfigurationError, match=r"none\.toml cannot be read"):
        load_scenarios(CONTENDERS, tmp_path / "none.toml")


def test_another_file_can_be_given(tmp_path: Path) -> None:
    """Without one the package's own scenarios are read, from any working directory."""
    (tmp_path / "other.toml").write_text(PLAIN.replace("small", "other"))

    assert [one.name for one in load_scenarios(CONTENDERS, tmp_path / "other.toml")] == ["other"]
    assert load_scenarios(CONTENDERS) == load_scenarios(CONTENDERS, SCENARIO_FILE)
    assert SCENARIO_FILE.is_absolute()


def test_scenarios_are_chosen_by_name() -> None:
    """By their own name or their series'; without names all but the extended ones."""
    scenarios = load_scenarios(CONTENDERS)

    assert [one.name for one in choose_scenarios(scenarios, ["minutes-cold"], False)] == ["minutes-cold"]
    assert {one.series for one in choose_scenarios(scenarios, ["scaling-days"], False)} == {"scaling-days"}
    assert not any(one.extended for one in choose_scenarios(scenarios, [], False))
    assert choose_scenarios(scenarios, [], True) == scenarios
    assert [one.name for one in choose_scenarios(scenarios, ["present-50400"], False)] == ["present-50400"]
    with pytest.raises(ConfigurationError, match=r"there is no scenario 'minutes-colt'; did you mean minutes-cold\?"):
        choose_scenarios(scenarios, ["minutes-colt"], False)


def test_the_default_scenarios_have_the_documented_sizes() -> None:
    """All kinds occur, with the sizes that docs/performance.md names."""
    scenarios = {one.name: one for one in load_scenarios(CONTENDERS)}

    assert {one.kind for one in scenarios.values()} == set(ScenarioKind)
    assert scenarios["minutes-cold"].total_bars == 3 * 126 * 390
    assert scenarios["seconds-cold"].total_bars == 3 * 5 * 23_400
    assert scenarios["minutes-30-symbols"].total_bars == 2_948_400
    assert len(scenarios["present-50400"].symbols) * scenarios["present-50400"].days == 50_400
    costs = [one.total_bars for one in scenarios.values() if one.series == "cost-per-bar"]
    assert costs == [98_280, 982_800, 10_024_560]


def test_contenders_are_chosen_by_name() -> None:
    """In the order of `CONTENDERS`, whatever the order of the names."""
    assert [one.name for one in choose_contenders(["wire", "polygon"])] == ["polygon", "wire"]
    assert [one.name for one in choose_contenders(())] == list(CONTENDERS)
    with pytest.raises(ConfigurationError, match=r"there is no contender 'masive'; did you mean massive\?"):
        choose_contenders(["masive"])


def test_the_minimum_number_of_requests() -> None:
    """Each symbol's bars by 50,000, rounded up: 126 sessions of 960 minutes are 120,960 bars, so three responses."""
    free = next(one for one in load_scenarios(CONTENDERS) if one.kind is ScenarioKind.BUDGET)

    assert (len(free.symbols), free.days, free.bars) == (3, 126, 960)
    assert minimum_requests(free) == 3 * 3
