import type { AppError } from '../common/app-error.js';
import { scopeNotFound } from '../auth/scope-check.service.js';
import type { Scope } from '../auth/scope.policy.js';

/** A whole organization. */
export function organizationScope(organizationId: number): Scope {
  return { organizationId, projectId: null };
}

/** What an unknown scope of this kind is answered with. */
export function scopeNotFoundOf({ projectId }: Scope): AppError {
  return scopeNotFound(projectId === null ? 'organization' : 'project');
}
