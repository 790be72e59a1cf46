"""The page of an explanation: one HTML file without script, in which nothing is fetched; the desk shows the same body."""

from collections.abc import Sequence
from html import escape

from expunge.unlearning.scores import NOT_COVERED, Scores
from expunge.workspace.quality.calibration import Group
from expunge.workspace.quality.drawing import COLOURS, Axis, Drawing, rows_of_categories
from expunge.workspace.quality.effects import BAND, Effect
from expunge.workspace.quality.evaluating import held_out_sentence
from expunge.workspace.quality.explaining import Explanation

STYLE = """\
:root { color-scheme: light dark; --ink: #1b2327; --paper: #fff; --line: #6f7f82; --soft: #f2f5f5; --bad: #a3200d; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eeee; --paper: #14191b; --line: #8b9b9e; --soft: #1f2729; --bad: #ff9d8c; } }
body { margin: 0 auto; max-width: 66rem; padding: 1rem; font: 1rem/1.55 system-ui, sans-serif;
  color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; margin: 0; }
table { border-collapse: collapse; min-width: 24rem; }
th, td { text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); }
td { font-variant-numeric: tabular-nums; } caption { text-align: left; font-weight: 600; padding: .4rem 0; }
.problem { border-left: 4px solid var(--bad); padding: .4rem .8rem; background: var(--soft); }
.effects { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1.2rem; }
figure { margin: 0; } figure svg { max-width: 100%; height: auto; } figcaption { font-size: .9rem; }
"""


def page(title: str, body: str) -> str:
    """A whole HTML page.

    Args:
        title: as text.
        body: as HTML.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def report_page(found: Explanation) -> str:
    """The page of an explanation.

    Args:
        found: what is shown.
    """
    return page(f"Model {found.published.model}", report_body(found))


def report_body(found: Explanation) -> str:
    """What a page and the desk show of an explanation, as HTML.

    Args:
        found: what is shown.
    """
    return "\n".join(
        [
            f'<p class="problem">{escape(NOT_COVERED)}</p>',
            _facts(found),
            "<h2>How good it is on people it has not seen</h2>",
            f"<p>{escape(held_out_sentence().capitalize())}.</p>",
            scores_table(found.scores),
            *_calibrated(found),
            *_explained(found),
        ]
    )


def scores_table(scores: Scores) -> str:
    """Scores as an HTML table.

    Args:
        scores: what is shown.
    """
    has_classes, more = scores.released.accuracy is not None, list(scores.released.measures)
    heads = [
        "",
        "Mean loss",
        "± by people",
        *(["Accuracy"] if has_classes else []),
        *(name[0].upper() + name[1:] for name in more),
    ]
    rows = []
    for name, score in (("with noise", scores.released), ("without noise", scores.noiseless), ("null model", scores.null)):
        cells = [f"{score.loss:.5g}", "" if score.error is None else f"{score.error:.2g}"]
        cells += [] if score.accuracy is None else [f"{score.accuracy:.2%}"]
        cells += [f"{score.measures[each]:.4g}" for each in more]
        rows.append(f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>')
    caption = f"{scores.people:,} people, {scores.rows:,} rows; of the null model's loss {scores.explained:.1%} is saved"
    return table(caption, heads, rows)


def table(caption: str, heads: Sequence[str], rows: Sequence[str]) -> str:
    """An HTML table.

    Args:
        caption: as text.
        heads: of the columns, as text.
        rows: as HTML.
    """
    cells = "".join(f'<th scope="col">{escape(head)}</th>' if head else "<td></td>" for head in heads)
    head = f"<caption>{escape(caption)}</caption>\n<thead><tr>{cells}</tr></thead>"
    return f"<table>\n{head}\n<tbody>{''.join(rows)}</tbody>\n</table>"


def figure(title: str, drawing: Drawing, caption: str) -> str:
    """A drawing with a title and a caption.

    Args:
        title: as text; empty for none.
        drawing: what is drawn.
        caption: as text.
    """
    head = f"<h3>{escape(title)}</h3>" if title else ""
    return f"<figure>{head}{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def _facts(found: Explanation) -> str:
    published, certificate, specification = found.published, found.certificate, found.published.specification
    noise = f"{certificate.noise} noise"
    noise += f", excess risk {certificate.excess_risk:.4g}" if certificate.sigma is None else f", σ = {certificate.sigma:.4g}"
    remaining = f"{certificate.remaining:,.0f} {specification.kind.weighed}"
    classes = f" ({', '.join(published.classes)})" if published.classes else ""
    return (
        f"<p>{escape(specification.kind)} model of {escape(specification.target + classes)}; release {published.release} of "
        f"{escape(published.at[:10])}; {certificate.n_parameters:,} parameters, {remaining}; promise "
        f"ε = {certificate.epsilon:g}, δ = {certificate.delta:g}; {escape(noise)}.</p>"
    )


def _calibrated(found: Explanation) -> list[str]:
    if not found.calibrations:
        return [
            "<p>Nothing is said of whether what is predicted comes true: too few rows, or a model of this kind predicts "
            "neither probabilities nor means.</p>"
        ]
    figures = [figure("", _calibration(each.groups, each.what), _told(each.what)) for each in found.calibrations]
    return ["<h2>Whether what is predicted comes true</h2>", f'<div class="effects">{"".join(figures)}</div>']


def _told(what: str) -> str:
    return (
        f"Each point is a group of people held out: across the {what}, upwards what came true; on the dashed line they agree."
    )


def _calibration(groups: Sequence[Group], what: str) -> Drawing:
    ends = [group.observed + sign * BAND * group.error for group in groups for sign in (-1.0, 1.0)]
    both = Axis.around([*ends, *(group.predicted for group in groups)], what)
    drawing = Drawing(f"calibration: {what} against what came true", both, both, height=260)
    drawing.line([(both.low, both.low), (both.high, both.high)], "#808080", is_dashed=True)
    for group in groups:
        spread = BAND * group.error
        x, low, high = group.predicted, group.observed - spread, group.observed + spread
        drawing.line([(x, low), (x, high)], COLOURS[0])
        drawing.point(x, group.observed, COLOURS[0], f"predicted {x:.3g}, observed {group.observed:.3g}, {group.rows:,} rows")
    return drawing


def _explained(found: Explanation) -> list[str]:
    rows = [
        f'<tr><th scope="row">{escape(effect.column)}</th><td>{effect.importance:.3g}</td>'
        f"<td>{escape(effect.without)}</td></tr>"
        for effect in found.effects
    ]
    shown = [effect for effect in found.effects if effect.lines]
    parts = [
        "<h2>What it looks at</h2>",
        table(
            "How much the mean loss of people held out rises when a column, or what is made of several, is shuffled among them",
            ["Column", "Loss", "What is not shown below"],
            rows,
        ),
        "<h2>What each column adds</h2>",
        f"<p>In {escape(found.unit)}, beside the mean of people held out, of the weights as released; the band is where those "
        "without noise lie, at 95 %.</p>",
    ]
    parts.append(f'<div class="effects">{"".join(_effect(effect, found.unit) for effect in shown)}</div>')
    return parts


def _effect(effect: Effect, unit: str) -> str:
    ends = [line.contributions[i] + s * line.bands[i] for line in effect.lines for i in range(len(line.bands)) for s in (-1, 1)]
    text = f"contribution of {effect.column} in {unit}, from {min(ends):.3g} to {max(ends):.3g}"
    drawing = _curve(effect, ends, text) if effect.is_range else _rows(effect, ends, unit, text)
    legend = ", ".join(f"{line.label} {name}" for line, name in zip(effect.lines, NAMES, strict=False))
    return figure(effect.column, drawing, f"Classes: {legend}" if len(effect.lines) > 1 else f"For {effect.lines[0].label}")


NAMES = ("teal", "red", "blue", "ochre", "violet", "green")
"""Of ``COLOURS``."""


def _curve(effect: Effect, ends: Sequence[float], text: str) -> Drawing:
    n = len(effect.values)
    across = Axis(0.0, n - 1.0, effect.column, (effect.values[0], effect.values[n // 2], effect.values[-1]))
    drawing = Drawing(text, across, Axis.around([*ends, 0.0], ""))
    drawing.line([(0.0, 0.0), (n - 1.0, 0.0)], "#808080", is_dashed=True)
    for line, colour in zip(effect.lines, COLOURS, strict=False):
        points = list(zip(range(n), line.contributions, line.bands, strict=True))
        drawing.band([(i, at - band) for i, at, band in points], [(i, at + band) for i, at, band in points], colour)
        drawing.line([(i, at) for i, at, _band in points], colour)
    return drawing


def _rows(effect: Effect, ends: Sequence[float], unit: str, text: str) -> Drawing:
    drawing = rows_of_categories(effect.values, Axis.around([*ends, 0.0], unit), text)
    drawing.line([(0.0, 0.5 - len(effect.values)), (0.0, 0.5)], "#808080", is_dashed=True)
    for line, colour in zip(effect.lines, COLOURS, strict=False):
        for i, (at, band) in enumerate(zip(line.contributions, line.bands, strict=True)):
            drawing.line([(at - band, -i), (at + band, -i)], colour)
            drawing.point(at, -i, colour, f"{effect.values[i]}: {at:.3g} ± {band:.2g}")
    return drawing
