"""How people sign in: the login page, sessions, the brake on guessing, permissions in the admin."""
