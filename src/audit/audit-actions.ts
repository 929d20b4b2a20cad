/** Actions of the audit log that are no operation of the API: what the service itself records. */
export const SERVICE_ACTIONS = {
  budget_threshold_reached: 'A budget has been used up to a percentage of its limit.',
  budget_exhausted: 'A budget has nothing left.',
  drop_audit_log_month: 'A month of the audit log was dropped because it need not be kept any longer.',
} as const;
