"""QR code of a text as a matrix of modules; the only module that imports segno. Draws nothing."""

from __future__ import annotations


def qr_matrix(text: str) -> list[str]:
    """Rows of '0' (light) and '1' (dark), without the quiet zone of four modules around them."""
    import segno

    return ["".join(map(str, row)) for row in segno.make_qr(text, error="m").matrix]
