"""Settings, URLs, the ASGI and Celery applications, and the embedded services: above all other packages."""
