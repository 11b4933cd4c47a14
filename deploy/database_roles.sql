-- Two roles: the owner migrates, the application works. Run by the owner after each migration; safe to repeat:
--   psql "$OWNER_URL" -v ON_ERROR_STOP=1 -f deploy/database_roles.sql
-- Once, by an administrator of the server:
--   CREATE ROLE plumbline_owner LOGIN PASSWORD '…';  CREATE ROLE plumbline_app LOGIN PASSWORD '…';
--   CREATE DATABASE plumbline OWNER plumbline_owner;
-- The application's role owns nothing: it cannot switch a trigger off, change a table, or rewrite facts and events.

GRANT USAGE ON SCHEMA public TO plumbline_app;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plumbline_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO plumbline_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO plumbline_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO plumbline_app;

-- What is only ever appended to.
REVOKE UPDATE, DELETE, TRUNCATE ON positions_entry, positions_positionevent, positions_ledgeranchor,
    core_securityevent FROM plumbline_app;
-- What is never deleted.
REVOKE DELETE, TRUNCATE ON auth_user, core_apikey FROM plumbline_app;
-- Migrations are the owner's.
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON django_migrations FROM plumbline_app;
