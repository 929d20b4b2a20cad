import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { vi } from 'vitest';

/** An empty DATA_DIR of a test's own, for services that bring their own PostgreSQL. */
export class DataDirectory {
  private constructor(readonly path: string) {}

  static async make(): Promise<DataDirectory> {
    const path = await mkdtemp(join(tmpdir(), 'latchkey-data-'));
    // Root's server runs as another user, who has to pass through.
    await chmod(path, 0o755);
    return new DataDirectory(path);
  }

  /** The server over this directory; undefined when none runs. */
  async postgresPid(): Promise<number | undefined> {
    const file = join(this.path, 'postgres/cluster/postmaster.pid');
    const pid = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10);
    return Number.isInteger(pid) && (await isAlive(pid)) ? pid : undefined;
  }

  async killPostgres(): Promise<void> {
    const pid = await this.postgresPid();
    if (pid === undefined) return;
    process.kill(pid, 'SIGKILL');
    await vi.waitUntil(async () => !(await isAlive(pid)), { timeout: 10_000, interval: 5 });
  }

  /** Kills one process that serves the service; PostgreSQL then ends all sessions and recovers by itself. */
  async killPostgresSession(): Promise<void> {
    const socket = encodeURIComponent(join(this.path, 'postgres/socket'));
    const client = new pg.Client({
      connectionString: `postgresql://postgres@/latchkey?host=${socket}&sslmode=disable`,
    });
    // It is ended too.
    client.on('error', () => undefined);
    await client.connect();
    const { rows } = await client.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE application_name = 'latchkey' LIMIT 1`,
    );
    process.kill(rows[0]?.pid ?? 0, 'SIGKILL');
    await client.end();
  }

  /** Permissions of a file in it, such as 0o600. */
  async modeOf(name: string): Promise<number> {
    return (await stat(join(this.path, name))).mode & 0o777;
  }

  /** The text of a file in it; undefined when there is none. */
  async read(name: string): Promise<string | undefined> {
    return readFile(join(this.path, name), 'utf8').catch(() => undefined);
  }

  async write(name: string, text: string): Promise<void> {
    await writeFile(join(this.path, name), text, { mode: 0o600 });
  }

  async remove(): Promise<void> {
    await this.killPostgres();
    await rm(this.path, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // Where process 1 reaps nobody, an orphan that ended stays as a zombie.
  return !/^State:\s+Z/m.test(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''));
}
