"""A line of runs is remembered for as long as looking for it is dear, and no longer."""

from atomic_margin.service.operator.store.line import SHARE, Line


class Looks:
    """A look that takes so many seconds of a clock, and counts."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.time, self.count = seconds, 0.0, 0

    def clock(self) -> float:
        return self.time

    def __call__(self) -> list[str]:
        self.time += self.seconds
        self.count += 1
        return [f"{self.count}.{number}" for number in range(1000)]


def test_a_line_is_used_for_ten_times_the_length_of_the_look() -> None:
    looks = Looks(0.02)
    line = Line(looks.clock)
    taken = []
    for _ in range(100):
        taken.append(line.next(looks))
        looks.time += 0.01
    # Twenty are taken in the 200 ms for which a look of 20 ms counts.
    assert SHARE == 10
    assert taken[:21] == [f"1.{number}" for number in range(20)] + ["2.0"]
    assert looks.count == 5


def test_who_was_taken_is_not_named_again_and_an_empty_line_is_looked_for_anew() -> None:
    line = Line(lambda: 0.0)
    assert line.next(lambda: []) is None
    assert line.next(lambda: ["a"]) == "a"
    assert line.next(lambda: ["b", "c"]) == "b"


def test_looking_that_takes_no_time_is_done_each_time() -> None:
    looks = Looks(0.0)
    line = Line(looks.clock)
    assert [line.next(looks) for _ in range(3)] == ["1.0", "2.0", "3.0"]
