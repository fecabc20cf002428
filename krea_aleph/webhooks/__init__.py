"""Receiving Krea's webhooks, which are not signed: in any web framework, or in none.

A `WebhookReceiver` gives each submit an address that nobody can guess, believes of what arrives
there only which job it is about, and lets the job be asked for with the key.

Example:
    >>> receiver = WebhookReceiver("https://example.com/hooks", ["sixteen or more bytes"])
    >>> receiver.handle("POST", "/hooks/made/up", b"{}").status
    404
"""

from krea_aleph.webhooks.delivery import Delivery, parse
from krea_aleph.webhooks.judge import Response
from krea_aleph.webhooks.receiver import WebhookReceiver

__all__ = ["Delivery", "Response", "WebhookReceiver", "parse"]
