import type { FastifyRequest } from 'fastify';
import { describe, expect, it } from 'vitest';
import { ApiKeyOwners } from '../../src/auth/api-key-owners.js';
import { OwnershipCheck } from '../../src/auth/ownership-check.service.js';
import type { Principal } from '../../src/auth/principal.js';
import type { OwnedThing } from '../../src/auth/scope.policy.js';
import { AppError } from '../../src/common/app-error.js';

class OwnersOfNothing extends ApiKeyOwners {
  readonly notFound = () => new AppError('api_key.not_found', 'API key not found');

  ownerOf(): Promise<OwnedThing> {
    return Promise.reject(new Error('No key was asked about.'));
  }
}

describe('a body whose caller must own the thing', () => {
  const request = { method: 'PUT', headers: { 'content-length': '2' }, params: { id: '7' } };
  const principal: Principal = {
    userId: 7,
    username: 'someone',
    role: 'user',
    permissions: [],
    scoped: [],
    credential: { kind: 'session', sessionId: 'a', expiresAtMs: 0 },
  };

  function admit(resourceType: string): Promise<void> {
    const operation = { action: 'change', resourceType, isDataPlane: false };
    return new OwnershipCheck(new OwnersOfNothing()).require(
      request as unknown as FastifyRequest,
      operation,
      principal,
      'platform:things:update',
    );
  }

  it('is not read for a kind of thing whose owner cannot be read, which is not taken for a key', async () => {
    await expect(admit('thing')).rejects.toThrow('ownership of thing');
    await expect(admit('user')).resolves.toBeUndefined();
  });
});
