"""A receiver of webhooks, as users set it up in a web application."""

from starlette.applications import Starlette
from starlette.routing import Mount

from krea_aleph import Aleph, AsyncAleph, SQLiteStore, WebhookError
from krea_aleph.webhooks import Delivery, Response, WebhookReceiver, parse


async def called(delivery: Delivery) -> None:
    """Print what there is to know."""
    print(delivery.account, delivery.job_id, delivery.intent, delivery.received_at + 1.0)


store = SQLiteStore("jobs.sqlite3")
receiver = WebhookReceiver(
    "https://example.com/hooks",
    ["the new secret", b"the old secret"],
    store=store,
    on_delivery=called,
    max_body=10_000,
)
app = Starlette(routes=[Mount("/hooks", receiver.asgi)])
aleph = Aleph(receiver=receiver, store=store)
tenant = AsyncAleph(receiver=receiver, account="studio")


def by_hand(path: str, body: bytes) -> int:
    """Use the plain function."""
    answer: Response = receiver.handle("POST", path, body, {"content-type": "application/json"})
    print(answer.headers["content-length"], len(answer.body), receiver.mint("studio").upper())
    return answer.status


async def by_hand_later(path: str, body: bytes) -> int:
    """Use the awaitable one."""
    return (await receiver.ahandle("POST", path, body)).status


def job_of(body: bytes) -> str | None:
    """Parse a delivery by itself."""
    try:
        return parse(body)
    except WebhookError as error:
        print(error.hint)
        return None
