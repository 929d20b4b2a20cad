import { Controller, Get, Req, Res } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../common/app-error.js';
import { acceptedMediaType, acceptsGzip } from '../contract/accept.js';
import { GUIDE_PATH } from '../contract/api-path.js';
import { type GuideFile, GuideFiles } from './guide-files.service.js';
import { Operation } from '../contract/operation.js';
import { Public } from '../contract/public.decorator.js';
import { answerNotModified } from '../contract/static-text.js';
import { namesEntityTag } from '../contract/request-headers.js';

const OPERATION = {
  summary: 'Read the documents',
  description: 'The docs site of this version.',
  resourceType: 'service',
} as const;
/** The page of the site for addresses that it does not have. */
const NOT_FOUND = '/404';
const UNCHANGING = 'public, max-age=31536000, immutable';

/** Serves the docs site. It is made for browsers, so the API document leaves it out. */
@ApiExcludeController()
@Controller(GUIDE_PATH)
export class GuideController {
  constructor(private readonly files: GuideFiles) {}

  @Get()
  @Public()
  @Operation('get_guide', OPERATION)
  getStart(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.#send('/', request, reply);
  }

  @Get('*')
  @Public()
  @Operation('get_guide_file', OPERATION)
  getFile(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.#send(addressOf(request.url), request, reply);
  }

  async #send(address: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const policy = await this.files.contentSecurityPolicy();
    if (policy === undefined)
      throw new AppError('request.route_not_found', 'The guide is not there; `npm run build` builds it.');
    const found = (await this.files.find(address)) ?? (await this.files.find(`${address}/`));
    const file = found ?? (await this.#missing(request));
    void reply
      .headers({
        'content-type': file.type,
        'content-security-policy': policy,
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cache-control': file.isImmutable && found !== undefined ? UNCHANGING : 'no-cache',
        etag: file.etag,
        vary: 'Accept-Encoding',
      })
      .code(found === undefined || address === NOT_FOUND ? 404 : 200);
    const { 'accept-encoding': encodings, 'if-none-match': known } = request.headers;
    const isCompressed = file.compressed !== undefined && acceptsGzip(encodings);
    const content = isCompressed ? file.compressed : file.content;
    if (isCompressed) void reply.header('content-encoding', 'gzip');
    if (reply.statusCode === 200 && namesEntityTag(known, file.etag))
      answerNotModified(request, reply, content);
    else void reply.send(content);
  }

  /** The page that says so, for browsers. @throws AppError `request.route_not_found` for others */
  async #missing({ headers }: FastifyRequest): Promise<GuideFile> {
    const isBrowser = acceptedMediaType(headers.accept, ['application/json', 'text/html']) === 'text/html';
    const page = isBrowser ? await this.files.find(NOT_FOUND) : undefined;
    if (page === undefined) throw new AppError('request.route_not_found', 'The guide has no such page.');
    return page;
  }
}

/** The part of the URL below `/guide`, without a query; files of the site have plain names. */
function addressOf(url: string): string {
  const [path = ''] = url.split('?');
  let end = path.length;
  while (path[end - 1] === '/') end -= 1;
  return path.slice(GUIDE_PATH.length + 1, end) || '/';
}
