"""All dashboards, in the order in which a person looks at them."""

from typing import Final

from exchange_dashboards import broker_lag, gateway, matcher, operator, overview, projections, ubscore

PAGES: Final = (
    overview.PAGE,
    gateway.PAGE,
    ubscore.PAGE,
    matcher.PAGE,
    projections.PAGE,
    broker_lag.PAGE,
    operator.PAGE,
)
