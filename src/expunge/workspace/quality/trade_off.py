"""The trade-off as one figure: loss on people held out against how many can be forgotten, on a page that fetches nothing."""

import math
from dataclasses import replace
from html import escape

from expunge.unlearning.scores import NOT_COVERED
from expunge.workspace.quality.drawing import COLOURS, Axis, Drawing
from expunge.workspace.quality.evaluating import held_out_sentence
from expunge.workspace.quality.page import figure, page, table
from expunge.workspace.quality.tuning import Tried, Tuned


def tuning_page(found: Tuned) -> str:
    """The page of a choice of settings.

    Args:
        found: what is shown; of a private choice the noisy votes alone.
    """
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in found.sentences)
    if found.epsilon is not None:
        rows = [_row(i, each, [f"{votes:,}"]) for i, (each, votes) in enumerate(zip(found.tried, found.votes, strict=True), 1)]
        return page(f"Settings of {found.name}", said + table("Votes, with noise", [*_HEADS, "Votes"], rows))
    rows = [_row(i, each, _scored(each)) for i, each in enumerate(found.tried, 1)]
    heads = [*_HEADS, "Loss", "± by people", "Accuracy", "Capacity"]
    capacity = "Capacity: people at random whose deletion the statistics alone should certify, after the fit that is scored."
    body = [
        f'<p class="problem">{escape(NOT_COVERED)}</p>',
        figure(
            "", drawn(found), f"Numbers are those of the table; filled: none is better in both. {_legend(found)} {capacity}"
        ),
        table(held_out_sentence().capitalize(), heads, rows),
        said,
    ]
    return page(f"Settings of {found.name}", "\n".join(body))


def drawn(found: Tuned) -> Drawing:
    """The figure.

    Args:
        found: a choice by scores.
    """
    scored = [(i, each) for i, each in enumerate(found.tried, 1) if each.scores is not None and each.capacity is not None]
    losses = [each.scores.released.loss for _i, each in scored if each.scores is not None]
    places = [math.log1p(each.capacity or 0) for _i, each in scored]
    around = Axis.around(places, "people who can be forgotten from the statistics alone")
    ends = (around.low, 0.5 * (around.low + around.high), around.high)
    across = replace(around, labels=tuple(f"{max(0.0, math.expm1(end)):,.0f}" for end in ends))
    drawing = Drawing("trade-off of loss against capacity", across, Axis.around(losses, "loss"), height=360, width=620)
    frontier = found.frontier
    for i, each in scored:
        assert each.scores is not None
        x, y = math.log1p(each.capacity or 0), each.scores.released.loss
        drawing.point(x, y, _colour(found, each), f"{i}: {each.setting}", is_hollow=each not in frontier)
        drawing.word(x, y, str(i))
    return drawing


_HEADS = ["Number", "Penalty", "Excess risk", "Features", "Parameters"]


def _row(number: int, each: Tried, more: list[str]) -> str:
    setting = each.setting
    cells = [f"{setting.penalty:g}", f"{setting.excess_risk:g}", setting.features, f"{each.parameters:,}", *more]
    return f'<tr><th scope="row">{number}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'


def _scored(each: Tried) -> list[str]:
    if each.scores is None:
        return [each.problem or "", "", "", ""]
    score = each.scores.released
    accuracy = "" if score.accuracy is None else f"{score.accuracy:.2%}"
    error = "" if score.error is None else f"{score.error:.2g}"
    return [f"{score.loss:.5g}", error, accuracy, "" if each.capacity is None else f"{each.capacity:,}"]


def _kinds(found: Tuned) -> list[str]:
    return list(dict.fromkeys(each.setting.features for each in found.tried))


def _colour(found: Tuned, each: Tried) -> str:
    return COLOURS[_kinds(found).index(each.setting.features)]


def _legend(found: Tuned) -> str:
    names = ", ".join(f"{kind} {name}" for kind, name in zip(_kinds(found), ("teal", "red", "blue"), strict=False))
    return f"Features: {names}."
