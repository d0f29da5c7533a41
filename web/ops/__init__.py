"""Operating the site: access, health, metrics, logs and gunicorn's hooks."""
