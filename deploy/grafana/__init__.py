"""The dashboards: provisioned files for Grafana, and a way to draw them where there is none."""
