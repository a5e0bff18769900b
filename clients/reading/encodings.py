"""Whether text that isn't UTF-8 can be Windows-1252, which is what it usually is."""

_ENOUGH = 4  # bytes beyond ASCII: fewer tell nothing
_LOOKED_AT = 8 * 1024  # bytes
_CLEARLY_TEXT = 0.1  # charset-normalizer's measure of mess, 0 to 1
_OTHERS = [
    "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r", "mac_roman", "iso8859_2",
    "cp932", "gb18030", "big5", "cp949",
]  # fmt: skip


def may_be_windows_1252(lines: list[bytes]) -> bool:
    """False where the lines make no sense in Windows-1252 and do in another encoding."""
    sample = b"\n".join(lines)[:_LOOKED_AT]
    if sum(byte > 127 for byte in sample) < _ENOUGH:
        return True
    # Loaded only where a file needs it: most don't, and a worker's start would wait for it.
    from charset_normalizer import from_bytes  # noqa: PLC0415

    if from_bytes(sample, cp_isolation=["cp1252"]):
        return True
    other = from_bytes(sample, cp_isolation=_OTHERS).best()
    return other is None or other.chaos > _CLEARLY_TEXT
