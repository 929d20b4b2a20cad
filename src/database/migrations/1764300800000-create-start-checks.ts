import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What an instance compares itself with before it serves. `schema_requirements` names migrations that a version has to know to
 * work on this schema: one that takes something away names itself there, one that only adds does not.
 * `pepper_fingerprints` tells whether a pepper is the one that was used under its version before.
 */
export class CreateStartChecks1764300800000 implements MigrationInterface {
  readonly name = 'CreateStartChecks1764300800000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE schema_requirements (
        migration text NOT NULL CONSTRAINT schema_requirements_pkey PRIMARY KEY
      );
      CREATE TABLE pepper_fingerprints (
        pepper_version integer NOT NULL CONSTRAINT pepper_fingerprints_pkey PRIMARY KEY,
        fingerprint bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pepper_fingerprints_fingerprint_check CHECK (octet_length(fingerprint) = 32)
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE schema_requirements, pepper_fingerprints');
  }
}
