import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable, Logger } from '@nestjs/common';

/** A file of the site, as `scripts/guide.mjs` notes it. */
interface ListedFile {
  readonly file: string;
  readonly type: string;
  readonly etag: string;
  /** Its name changes with its content. */
  readonly isImmutable: boolean;
  /** Whether it is there in gzip as well, under its name and `.gz`. */
  readonly isCompressed: boolean;
}

interface Manifest {
  /** Of the files, beside the list. */
  readonly folder: string;
  /** Digests of the scripts that stand in pages, as a Content-Security-Policy has them. */
  readonly scripts: readonly string[];
  readonly files: Readonly<Record<string, ListedFile>>;
}

/** A file of the site with its content. */
export interface GuideFile extends ListedFile {
  readonly content: Buffer;
  /** The content in gzip; undefined where that would gain little. */
  readonly compressed: Buffer | undefined;
}

/**
 * The files of the docs site, which `npm run build` puts into `dist-guide/`. Only what its list names is ever read, so no
 * path leads elsewhere. Files are read at their first request and kept.
 */
@Injectable()
export class GuideFiles {
  readonly #logger = new Logger(GuideFiles.name);
  readonly #loaded = new Map<string, Promise<GuideFile | undefined>>();
  #manifest: Manifest | undefined;

  /** @param folder that the site was built into */
  constructor(private readonly folder: string) {}

  /** Undefined where the site was not built. */
  contentSecurityPolicy(): Promise<string | undefined> {
    return this.#read().then((manifest) => (manifest === undefined ? undefined : policyOf(manifest)));
  }

  /** The file at an address below `/guide`, such as `/tutorial`; undefined when there is none. */
  async find(address: string): Promise<GuideFile | undefined> {
    const manifest = await this.#read();
    if (manifest === undefined || !Object.hasOwn(manifest.files, address)) return undefined;
    const loading = this.#loaded.get(address) ?? this.#load(manifest, manifest.files[address]);
    this.#loaded.set(address, loading);
    return loading;
  }

  async #load({ folder }: Manifest, listed: ListedFile | undefined): Promise<GuideFile | undefined> {
    if (listed === undefined) return undefined;
    try {
      const name = join(this.folder, folder, listed.file);
      const content = await readFile(name);
      const compressed = listed.isCompressed ? await readFile(`${name}.gz`) : undefined;
      return { ...listed, content, compressed };
    } catch (error) {
      this.#logger.warn(`The docs site lacks ${listed.file}: ${String(error)}`);
      // It was perhaps built again meanwhile: the next request reads the new list.
      this.#manifest = undefined;
      this.#loaded.clear();
      return undefined;
    }
  }

  /** Looked for again until it is there: a site may be built while the service runs. */
  async #read(): Promise<Manifest | undefined> {
    try {
      this.#manifest ??= JSON.parse(await readFile(join(this.folder, 'site.json'), 'utf8')) as Manifest;
    } catch {
      return undefined;
    }
    return this.#manifest;
  }
}

/** Everything comes from this server; scripts in pages are those that were built. */
function policyOf({ scripts }: Manifest): string {
  return [
    "default-src 'none'",
    ["script-src 'self'", ...scripts].join(' '),
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}
