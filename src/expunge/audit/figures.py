"""Figures, drawn the same way on every machine. They need matplotlib, which is loaded where one is drawn."""

from typing import Any

COLOURS = {"ours": "#0b6e4f", "paper": "#3a5fcd", "dp": "#c4462f", "exact": "#444444", "other": "#b8860b"}


def new_figure(panels: tuple[int, int] = (1, 1), size: tuple[float, float] = (7.0, 4.2)) -> tuple[Any, Any]:
    """A matplotlib figure and its axes (an array for several panels), drawn the same way on every machine.

    Raises:
        ImportError: matplotlib is not installed; the message says how to install it.
    """
    try:
        from matplotlib import rcParams
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'expunge[plot]'") from error
    rcParams["svg.hashsalt"] = "expunge"
    rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(*panels)
    for axis in figure.axes:
        axis.grid(visible=True, which="major", alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes
