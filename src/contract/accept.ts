import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { AppError } from '../common/app-error.js';

/** An entry of an `Accept` or `Accept-Encoding` header. */
interface WeightedEntry {
  readonly name: string;
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
  const ranges = accept.split(',').map(toWeightedEntry);
  const placeOf = (type: string) => {
    const place = ranges.findIndex((range) => range.name === type);
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

/** Whether an `Accept-Encoding` header lets a response be in gzip (RFC 9110 §12.5.3). */
export function acceptsGzip(acceptEncoding: string | string[] | undefined): boolean {
  if (acceptEncoding === undefined) return false;
  const codings = String(acceptEncoding).split(',').map(toWeightedEntry);
  const named = codings.find(({ name }) => name === 'gzip' || name === 'x-gzip');
  return ((named ?? codings.find(({ name }) => name === '*'))?.weight ?? 0) > 0;
}

function weightOf(type: string, ranges: readonly WeightedEntry[]): number {
  const family = `${type.slice(0, type.indexOf('/'))}/*`;
  for (const name of [type, family, '*/*']) {
    const range = ranges.find((candidate) => candidate.name === name);
    if (range !== undefined) return range.weight;
  }
  return 0;
}

function toWeightedEntry(text: string): WeightedEntry {
  const [name = '', ...parameters] = text
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  const weight = parameters.find((parameter) => parameter.startsWith('q='));
  return { name, weight: weight === undefined ? 1 : Number(weight.slice(2)) || 0 };
}
