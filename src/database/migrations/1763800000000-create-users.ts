import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Roles, users, login sessions with their refresh tokens, and the counters that throttle logins. */
export class CreateUsers1763800000000 implements MigrationInterface {
  readonly name = 'CreateUsers1763800000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE roles (
        name text NOT NULL CONSTRAINT roles_pkey PRIMARY KEY,
        permissions text[] NOT NULL
      );
      INSERT INTO roles (name, permissions) VALUES
        ('admin', '{platform:*}'),
        ('developer', '{platform:api-keys:*}'),
        ('auditor', '{platform:*:read}'),
        ('service', '{platform:api-keys:verify,platform:usage:write}'),
        ('user', '{}');

      CREATE TABLE users (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT users_pkey PRIMARY KEY,
        username text NOT NULL,
        password_hash text NOT NULL,
        role text NOT NULL CONSTRAINT users_role_fkey REFERENCES roles (name),
        permissions text[] NOT NULL DEFAULT '{}',
        is_active boolean NOT NULL DEFAULT true,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        deleted_at timestamptz
      );
      CREATE UNIQUE INDEX users_username_key ON users (username) WHERE deleted_at IS NULL;

      CREATE TABLE sessions (
        id uuid NOT NULL CONSTRAINT sessions_pkey PRIMARY KEY,
        user_id bigint NOT NULL CONSTRAINT sessions_user_id_fkey REFERENCES users (id),
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        ended_at timestamptz
      );
      CREATE INDEX sessions_user_id_idx ON sessions (user_id) WHERE ended_at IS NULL;
      CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

      CREATE TABLE refresh_tokens (
        digest bytea NOT NULL CONSTRAINT refresh_tokens_pkey PRIMARY KEY,
        session_id uuid NOT NULL CONSTRAINT refresh_tokens_session_id_fkey REFERENCES sessions (id) ON DELETE CASCADE,
        used_at timestamptz
      );
      CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);

      CREATE TABLE login_failures (
        subject text NOT NULL CONSTRAINT login_failures_pkey PRIMARY KEY,
        failures integer NOT NULL,
        window_ends_at timestamptz NOT NULL
      );
      CREATE INDEX login_failures_window_ends_at_idx ON login_failures (window_ends_at);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE login_failures, refresh_tokens, sessions, users, roles');
  }
}
