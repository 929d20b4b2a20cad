-- The two roles of Latchkey, for psql 15 or newer, in the database that they share. latchkey_owner owns the schema and
-- migrates it; latchkey serves requests and is granted what it needs by the migrations.
\getenv owner_password LATCHKEY_OWNER_PASSWORD
\getenv service_password LATCHKEY_PASSWORD

CREATE ROLE latchkey_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE latchkey LOGIN PASSWORD :'service_password';
ALTER DATABASE latchkey OWNER TO latchkey_owner;
REVOKE TEMPORARY ON DATABASE latchkey FROM PUBLIC;
