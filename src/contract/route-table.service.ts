import { Injectable } from '@nestjs/common';

/** One route as Fastify registered it; `url` is its pattern, such as `/api/v1/api-keys/:id`. */
export interface Route {
  readonly method: string;
  readonly url: string;
}

/** Every route of the running application, noted as it was registered. */
@Injectable()
export class RouteTable {
  readonly #routes: { readonly route: Route; readonly pattern: RegExp }[] = [];

  add(method: string | readonly string[], url: string): void {
    for (const each of typeof method === 'string' ? [method] : method) {
      this.#routes.push({ route: { method: each, url }, pattern: patternOf(url) });
    }
  }

  all(): Route[] {
    return this.#routes.map(({ route }) => route);
  }

  /** The methods that a path answers, in alphabetical order; none when no route has this path. */
  methodsOf(path: string): string[] {
    const matching = this.#routes.filter(({ pattern }) => pattern.test(path));
    return [...new Set(matching.map(({ route }) => route.method))].toSorted();
  }
}

function patternOf(url: string): RegExp {
  const escaped = url.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`^${escaped.replace(/:\w+/g, '[^/]+').replace(String.raw`\*`, '.*')}/?$`);
}
