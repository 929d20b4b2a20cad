import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { AppError } from '../common/app-error.js';

interface MediaRange {
  readonly type: string;
  readonly weight: number;
}

/**
 * Which of the media types that a route offers an `Accept` header asks for (RFC 9110 §12.5.1); undefined when none is
 * acceptable. The most specific range decides on a type. Of equal weights the one named first is meant, since generated
 * clients list all that a route has; of those not named, the one offered first.
 */
export function acceptedMediaType<Offered extends string>(
  accept: string | undefined,
  offered: readonly Offered[],
): Offered | undefined {
  if (accept === undefined || accept.trim() === '') return offered[0];
  const ranges = accept.split(',').map(toMediaRange);
  const placeOf = (type: string) => {
    const place = ranges.findIndex((range) => range.type === type);
    return place === -1 ? ranges.length : place;
  };
  const [best] = offered
    .map((type) => ({ type, weight: weightOf(type, ranges), place: placeOf(type) }))
    .filter(({ weight }) => weight > 0)
    .toSorted((a, b) => b.weight - a.weight || a.place - b.place);
  return best?.type;
}

/**
 * The media type to answer in, one of those given. Not `@Headers('accept')`, which OpenAPI must not list as a parameter.
 * @throws AppError `request.not_acceptable`
 */
export const AcceptedMediaType = createParamDecorator(
  (offered: readonly string[], context: ExecutionContext): string => {
    const { accept } = context.switchToHttp().getRequest<FastifyRequest>().headers;
    const type = acceptedMediaType(accept, offered);
    if (type === undefined) {
      throw new AppError('request.not_acceptable', `This is answered as ${offered.join(' or ')}.`);
    }
    return type;
  },
);

function weightOf(type: string, ranges: readonly MediaRange[]): number {
  const family = `${type.slice(0, type.indexOf('/'))}/*`;
  for (const name of [type, family, '*/*']) {
    const range = ranges.find((candidate) => candidate.type === name);
    if (range !== undefined) return range.weight;
  }
  return 0;
}

function toMediaRange(text: string): MediaRange {
  const [type = '', ...parameters] = text
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  const weight = parameters.find((parameter) => parameter.startsWith('q='));
  return { type, weight: weight === undefined ? 1 : Number(weight.slice(2)) || 0 };
}
