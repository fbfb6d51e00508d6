"""What the Grafana dashboards in deploy/grafana are made from: `tools/write-dashboards` writes them."""
