/** Roles of members of a whole organization. */
export const ORGANIZATION_ROLES = ['org_owner', 'org_admin', 'org_auditor', 'org_member'] as const;

/** Roles of members of one project. */
export const PROJECT_ROLES = ['project_admin', 'project_developer', 'project_viewer'] as const;

/** A role that holds in a scope. */
export type MembershipRole = (typeof ORGANIZATION_ROLES)[number] | (typeof PROJECT_ROLES)[number];

/** The role that an organization always has someone with, once it has. */
export const OWNER_ROLE = 'org_owner' satisfies MembershipRole;
