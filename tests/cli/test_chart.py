"""The chart puts each letter where its number is."""

from wsrv.cli.chart import HEIGHT, chart

COLUMNS = ["1KiB", "2KiB"]


def test_the_highest_number_is_at_the_top_and_zero_on_the_axis() -> None:
    lines = chart("title", COLUMNS, {"lru": [80.0, 0.0]})
    assert lines[0] == "title"
    assert lines[1].split() == ["80.0", "|", "a"]
    assert lines[1 + HEIGHT].split() == ["0.0", "|", "a"]
    assert lines[1 + HEIGHT].endswith("a")
    assert not any("a" in line for line in lines[2 : 1 + HEIGHT])
    assert lines[-2].split() == COLUMNS
    assert lines[-1] == "a=lru"


def test_letters_that_fall_together_stand_together() -> None:
    curves = {"one": [50.0, 50.0], "two": [50.0, 10.0], "three": [50.0, 50.0], "four": [100.0, 50.0]}
    lines = chart("title", COLUMNS, curves)
    assert lines[1].split()[-1] == "d"
    assert lines[1 + HEIGHT // 2].split()[-2:] == ["a-c", "acd"]
    assert lines[-1] == "a=one b=two c=three d=four"


def test_nothing_but_zeros_is_a_chart_too() -> None:
    lines = chart("title", COLUMNS, {"lru": [0.0, 0.0]})
    assert lines[1 + HEIGHT].split() == ["0.0", "|", "a", "a"]


def test_it_is_plain_ascii() -> None:
    assert all(line.isascii() for line in chart("title", COLUMNS, {"lru": [80.0, 3.0]}))


def test_it_is_as_high_as_it_is_told() -> None:
    lines = chart("title", COLUMNS, {"lru": [80.0, 0.0]}, height=30)
    assert len(lines) == 35
    assert lines[1].split() == ["80.0", "|", "a"]
    assert lines[31].split() == ["0.0", "|", "a"]


def test_many_names_take_several_lines() -> None:
    curves = {f"policy-{number}": [float(number), 1.0] for number in range(20)}
    lines = chart("title", COLUMNS, curves)
    assert all(len(line) <= 80 for line in lines[18:])
    assert " ".join(lines[18:]).split() == [f"{chr(97 + number)}=policy-{number}" for number in range(20)]
