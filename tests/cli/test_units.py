"""Kinds of values: what they read and what they refuse."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.cli.units import Count, Host, Kind, LogFormat, Place, Seconds, ServerName, Size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1024", 1024),
        ("64MiB", 64 * 1024**2),
        ("10MB", 10_000_000),
        ("512k", 512 * 1024),
        ("512K", 512 * 1024),
        ("1.5 GiB", 3 * 512 * 1024**2),
        ("2g", 2 * 1024**3),
        ("7B", 7),
        (4096, 4096),
    ],
)
def test_size_takes_units(text: str | int, size: int) -> None:
    assert Size().read(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1XB", "1 M B", "1e3", "inf", "999999TiB", -1, True, None, [1], 1.5])
def test_what_is_no_size_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="is not a size such as 64MiB"):
        Size().read(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("500ms", 0.5), ("2m", 120), ("1h", 3600), ("1.5", 1.5), (30, 30), (0.25, 0.25), ("2 min", 120)],
)
def test_time_takes_units(text: str | float, seconds: float) -> None:
    assert Seconds().read(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["0", "-1s", "25h", "1 day", "", "nan", math.nan, math.inf, True, 0])
def test_time_that_cannot_be_waited_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a time such as 30s"):
        Seconds().read(text)


def test_zero_is_a_time_where_it_is_allowed() -> None:
    assert Seconds(zero=True).read("0") == 0


def test_count_names_its_bounds() -> None:
    assert Count(0, 65535).read("8080") == 8080
    for wrong in ("65536", "-1", "http", "80.0", True):
        with pytest.raises(ValueError, match="is not a whole number from 0 to 65535"):
            Count(0, 65535).read(wrong)


@pytest.mark.parametrize("text", ["../x", "a/b", "", ".hidden", "-x", "a\n", "x" * 65, "ä"])
def test_server_name_that_could_leave_its_folder_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        ServerName().read(text)


def test_place_is_taken_from_the_folder_of_its_file() -> None:
    assert Place().read("logs/a", "/etc/wsrv") == "/etc/wsrv/logs/a"
    assert Place().read("/logs/a", "/etc/wsrv") == "/logs/a"
    assert Place(dash=True).read("-", "/etc/wsrv") == "-"


def test_log_format_names_those_there_are() -> None:
    assert LogFormat().read("combined") == "combined"
    with pytest.raises(ValueError, match=r"there are: .*combined"):
        LogFormat().read("combind")


@given(st.sampled_from([Size(), Seconds(), Count(1, 9), Host(), ServerName()]), st.text())
def test_any_text_is_read_or_refused_in_words(kind: Kind, text: str) -> None:
    try:
        kind.read(text)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = f"is not {kind.allowed}"
    assert refusal.endswith(f"is not {kind.allowed}")


@given(
    st.integers(0, 1024**5)
    | st.integers(0, 1024).map(lambda n: n * 1024**2)
    | st.integers(0, 99).map(lambda n: n * 1000)
)
def test_size_that_is_written_is_read_back(size: int) -> None:
    assert Size().read(Size().write(size)) == size


@given(st.floats(0, 86400) | st.integers(0, 86400).map(float) | st.integers(0, 10000).map(lambda n: n * 0.001))
def test_time_that_is_written_is_read_back(seconds: float) -> None:
    kind = Seconds(zero=True)
    assert kind.read(kind.write(seconds)) == seconds


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Size(), 64 * 1024**2, "64MiB"),
        (Size(), 10_000_000, "10MB"),
        (Size(), 1536, "1536"),
        (Size(), 0, "0"),
        (Seconds(), 30.0, "30s"),
        (Seconds(), 0.5, "500ms"),
        (Seconds(), 7200.0, "2h"),
        (Seconds(), 90.0, "90s"),
        (Seconds(), 0.0, "0s"),
    ],
)
def test_value_is_written_as_a_person_would(kind: Kind, value: float, text: str) -> None:
    assert str(kind.write(value)) == text


@pytest.mark.parametrize("kind", [Count(1, 9, auto=True), ServerName(auto=True), Place(auto=True)])
def test_auto_is_read_and_offered_only_where_it_has_a_meaning(kind: Kind) -> None:
    assert kind.read("auto") == "auto"
    with pytest.raises(ValueError, match=", or auto"):
        kind.read(None)
    with pytest.raises(ValueError, match=r"is not a whole number from 1 to 9$"):
        Count(1, 9).read("auto")
