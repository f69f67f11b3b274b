"""The exchange's Grafana dashboards, as code. `python -m exchange_dashboards` writes them into the chart.

model    what a dashboard is made of, without Grafana
promql   the words that its queries are made of
overview, gateway, ubscore, matcher, projections, broker_lag, operator    one dashboard each
cores    what ubscore's and the matcher's have in common
pages    all of them
grafana  puts them into Grafana's words, with grafana-foundation-sdk

Queries hold for both forms: the local one, a single process that shows everything, and the distributed one, where the
operator's ServiceMonitor names each process by `job` (gateway, ubscore, ubscore-standby, …) and its exchange by
`app_kubernetes_io_instance`. Nothing asks for a job, therefore.
"""
