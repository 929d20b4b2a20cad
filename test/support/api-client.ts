/** An answer of the API, with its body parsed when it is JSON. */
export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  // Tests read whatever fields they expect; a missing one fails their assertion.
  readonly body: Record<string, any>; // oxlint-disable-line typescript/no-explicit-any
  readonly text: string;
}

/** What may be sent beside method and path. */
export interface ApiRequest {
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is, as application/json unless `headers` says otherwise. */
  readonly rawBody?: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Record<string, string>;
}

/** Calls the API over real HTTP, with one credential or none. Paths are below `/api/v1` unless they begin with `//`. */
export class ApiClient {
  constructor(
    readonly baseUrl: string,
    private readonly credentialHeaders: Record<string, string> = {},
  ) {}

  withAccessToken(token: string): ApiClient {
    return new ApiClient(this.baseUrl, { authorization: `Bearer ${token}` });
  }

  withApiKey(secret: string): ApiClient {
    return new ApiClient(this.baseUrl, { 'x-api-key': secret });
  }

  get(path: string, headers: Record<string, string> = {}): Promise<ApiAnswer> {
    return this.send('GET', path, { headers });
  }

  post(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<ApiAnswer> {
    return this.send('POST', path, { body, headers });
  }

  put(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<ApiAnswer> {
    return this.send('PUT', path, { body, headers });
  }

  delete(path: string): Promise<ApiAnswer> {
    return this.send('DELETE', path);
  }

  async send(
    method: string,
    path: string,
    { body, rawBody, headers = {} }: ApiRequest = {},
  ): Promise<ApiAnswer> {
    const url = this.baseUrl + (path.startsWith('//') ? path.slice(1) : `/api/v1${path}`);
    const sentBody = rawBody ?? (body === undefined ? undefined : JSON.stringify(body));
    const contentType: Record<string, string> =
      sentBody === undefined ? {} : { 'content-type': 'application/json' };
    const response = await fetch(url, {
      method,
      headers: { ...this.credentialHeaders, ...contentType, ...headers },
      ...(sentBody === undefined ? {} : { body: sentBody }),
    });
    const text = await response.text();
    const isJson =
      /json/.test(response.headers.get('content-type') ?? '') &&
      !/ndjson/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: isJson && text !== '' ? JSON.parse(text) : {},
    };
  }
}
