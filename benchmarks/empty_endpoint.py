"""The yardstick of bench_http: a FastAPI endpoint that takes the same body as POST /api/orders, and does nothing.

Started by it as a process of its own: `python -m benchmarks.empty_endpoint PORT`.
"""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class OrderBody(BaseModel):
    """What an order consists of."""

    cid: str
    symbol: str
    side: str
    order_type: str
    price: str
    quantity: str
    time_in_force: str | None = None
    response: str | None = None


app = FastAPI()


@app.post("/api/orders")
async def place(body: OrderBody, user_id: int) -> dict[str, str]:
    """Answers at once."""
    return {"cid": body.cid, "order_status": "New"}


def main() -> None:
    # As `exchange local` starts its own.
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, server_header=False)


if __name__ == "__main__":
    main()
