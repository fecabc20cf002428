"""Every scenario runs three times: with `Aleph`, and with `AsyncAleph` on asyncio and on trio."""

from colours import aleph, clip, colour, emulator, open_client

__all__ = ["aleph", "clip", "colour", "emulator", "open_client"]
