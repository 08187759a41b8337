"""Room podium/otlp: hands the cluster's spans on to an OpenTelemetry collector.

A process of its own, started by the supervisor if `podium up --otlp-endpoint URL` was said, and an
ordinary client of the API. Nobody else imports OpenTelemetry's SDK (`pip install podium[otlp]`).
"""
