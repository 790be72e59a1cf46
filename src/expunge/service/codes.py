"""Codes: QR codes as SVG drawings that can stand in a page, with no script and no style."""

import segno
from markupsafe import Markup

MASK = 3
"""One of the eight patterns that may lie over a code. To try out all of them for the best takes three quarters of the time."""


def drawn(text: str, label: str) -> Markup:
    """A QR code that holds ``text``, black on white.

    Args:
        text: what it holds.
        label: what it is, for those who do not see it.
    """
    code = segno.make_qr(text, error="l", boost_error=False, mask=MASK)
    drawing = code.svg_inline(omitsize=True, light="#fff", title=label)
    return Markup(drawing.replace("<svg ", '<svg role="img" ', 1))
