import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { ClientAddresses } from './client-address.service.js';
import { openRequestContext, type RequestContext, requestContextOf } from '../context/request-context.js';

const LONGEST_USER_AGENT = 512;

/** Creates request contexts from headers and connection. */
@Injectable()
export class RequestContextFactory {
  constructor(private readonly addresses: ClientAddresses) {}

  contextOf(request: FastifyRequest): RequestContext {
    return {
      requestId: request.id,
      clientAddress: this.addresses.of(request.raw),
      userAgent: request.headers['user-agent']?.slice(0, LONGEST_USER_AGENT),
    };
  }

  /** Runs `work` in the context of the request. Data-plane requests get a context only when an event is published. */
  async inContextOf(
    request: FastifyRequest,
    complete: Partial<RequestContext>,
    work: () => Promise<void>,
  ): Promise<void> {
    if (requestContextOf(request.raw) !== undefined) return work();
    const context = { ...this.contextOf(request), ...complete };
    return new Promise((resolve, reject) =>
      openRequestContext(request.raw, context, () => void work().then(resolve, reject)),
    );
  }
}
