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

/** The site that the list describes. */
interface Site {
  readonly folder: string;
  readonly files: ReadonlyMap<string, ListedFile>;
  readonly contentSecurityPolicy: string;
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
  #site: Promise<Site | undefined> | undefined;

  /** @param folder that the site was built into */
  constructor(private readonly folder: string) {}

  /** Undefined where the site was not built. */
  contentSecurityPolicy(): Promise<string | undefined> {
    return this.#read().then((site) => site?.contentSecurityPolicy);
  }

  /** The file at an address below `/guide`, such as `/tutorial`; undefined when there is none. */
  async find(address: string): Promise<GuideFile | undefined> {
    const site = await this.#read();
    const listed = site?.files.get(address);
    if (site === undefined || listed === undefined) return undefined;
    const loading = this.#loaded.get(address) ?? this.#load(site.folder, listed);
    this.#loaded.set(address, loading);
    return loading;
  }

  async #load(folder: string, listed: ListedFile): Promise<GuideFile | undefined> {
    try {
      const name = join(this.folder, folder, listed.file);
      const content = await readFile(name);
      const compressed = listed.isCompressed ? await readFile(`${name}.gz`) : undefined;
      return { ...listed, content, compressed };
    } catch (error) {
      this.#logger.warn(`The docs site lacks ${listed.file}: ${String(error)}`);
      // It was perhaps built again meanwhile: the next request reads the new list.
      this.#site = undefined;
      this.#loaded.clear();
      return undefined;
    }
  }

  /** Looked for again until it is there: a site may be built while the service runs. */
  #read(): Promise<Site | undefined> {
    this.#site ??= readSite(this.folder).catch(() => {
      this.#site = undefined;
      return undefined;
    });
    return this.#site;
  }
}

async function readSite(parent: string): Promise<Site> {
  const manifest = JSON.parse(await readFile(join(parent, 'site.json'), 'utf8')) as Manifest;
  const { folder, files } = manifest;
  return { folder, files: new Map(Object.entries(files)), contentSecurityPolicy: policyOf(manifest) };
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
