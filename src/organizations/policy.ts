import type { ScopeKind } from '../auth/access.decorators.js';
import type { Scope } from '../auth/scope.policy.js';
import type { KeyRules } from './key-rules.js';

/** Whose policy it is. */
export interface PolicyTarget {
  readonly kind: ScopeKind;
  readonly id: number;
}

/** What the keys of an organization, or of a project, must obey. */
export interface Policy extends Scope {
  readonly rules: KeyRules;
  /** Of the organization, for a project; null where it has none. */
  readonly inherited: KeyRules | null;
  readonly version: number;
  /** Null when nothing was ever set. */
  readonly updatedAt: Date | null;
}
