"""Statistical guarantees: finite-sample bounds, certificates, stopping thresholds and drift detection; pure."""
