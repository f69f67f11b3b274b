"""How a book is held against the recorded one, and what of it the file cannot tell."""

from services.replay.compare import Comparison, LevelState
from services.replay.lobster import BookRow, Level, parse_messages


def levels(*pairs: tuple[int, int]) -> list[Level]:
    return [Level(*pair) for pair in pairs]


def compared(*rows: tuple[str, list[Level], list[Level]]) -> Comparison:
    """Rows of (message, recorded bids, our bids); there are no asks."""
    comparison = Comparison()
    for line, recorded, ours in rows:
        (message,) = parse_messages([line], "f")
        comparison.add(message, BookRow(recorded, []), ours, [])
    return comparison


def test_compare_equal_books_are_equal_at_every_depth() -> None:
    book = levels((500, 3), (400, 2))
    result = compared(("1,1,9,3,500,1", book, book))
    assert [shares.share for shares in result.places.values()] == [1.0, 1.0, 1.0]
    assert (result.known.equal, result.known.compared, result.rows, result.equal_rows) == (2, 2, 1, 1)


def test_compare_level_from_out_of_sight_is_unseen_and_shifts_nothing_behind_it() -> None:
    result = compared(
        ("1,1,9,3,500,1", levels((500, 3), (400, 2)), levels((500, 3), (400, 2))),
        ("2,3,9,3,500,1", levels((400, 2), (300, 7)), levels((400, 2))),
    )
    assert result.states == {LevelState.EQUAL: 3, LevelState.UNSEEN: 1}
    assert result.known.share == 1.0
    assert result.first_difference == 0


def test_compare_missing_level_shifts_the_ones_behind_it() -> None:
    result = compared(
        ("1,1,9,3,500,1", levels((500, 3)), levels((500, 3))),
        ("2,3,8,1,600,1", levels((500, 3), (450, 1), (400, 1)), levels((500, 3), (400, 1))),
    )
    assert result.states == {LevelState.EQUAL: 2, LevelState.UNSEEN: 1, LevelState.SHIFTED: 1}


def test_compare_level_of_a_new_order_behind_the_last_one_is_known() -> None:
    result = compared(
        ("1,1,9,3,500,1", levels((500, 3)), levels((500, 3))),
        ("2,1,8,4,400,1", levels((500, 3), (400, 4)), levels((500, 3), (400, 4))),
    )
    assert (result.known.equal, result.known.compared) == (3, 3)


def test_compare_unseen_level_is_known_again_once_it_was_empty() -> None:
    first = levels((500, 3), (400, 2))
    result = compared(
        ("1,1,9,3,500,1", first, first),
        ("2,3,9,3,500,1", levels((400, 2), (300, 7)), levels((400, 2))),
        ("3,3,7,7,300,1", levels((400, 2), (200, 1)), levels((400, 2))),
        ("4,1,6,5,300,1", levels((400, 2), (300, 5)), levels((400, 2), (300, 5))),
    )
    assert result.states == {LevelState.EQUAL: 6, LevelState.UNSEEN: 2}
    assert (result.known.equal, result.known.compared) == (6, 6)


def test_compare_other_size_of_a_known_level_is_our_own_mistake_and_named() -> None:
    result = compared(("1,1,9,3,500,1", levels((500, 3)), levels((500, 2), (499, 1))))
    assert result.states == {LevelState.DIFFERENT: 1}
    assert (result.first_difference, result.known.equal, result.extra) == (1, 0, 0)


def test_compare_level_of_ours_alone_is_extra() -> None:
    result = compared(("1,1,9,3,500,1", levels((500, 3)), levels((501, 1), (500, 3))))
    assert (result.extra, result.unexplained, result.states) == (1, 1, {LevelState.SHIFTED: 1})


def test_compare_extra_level_that_was_out_of_sight_is_explained() -> None:
    result = compared(
        ("1,1,9,3,500,1", levels((500, 3)), levels((500, 3), (400, 2))),
        ("2,3,9,3,500,1", levels((300, 7)), levels((400, 2), (300, 7))),
    )
    assert (result.extra, result.unexplained) == (1, 0)
