"""Every scenario runs three times: with `Aleph`, and with `AsyncAleph` on asyncio and on trio."""

from colours import clip, colour, emulator, open_client

__all__ = ["clip", "colour", "emulator", "open_client"]
