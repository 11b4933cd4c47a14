"""`manage.py stream`: watchers and writers of accounts, and the leases they hold."""
