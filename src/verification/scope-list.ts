/**
 * Scopes as a list separated by spaces (RFC 6749, 3.3). A space within one is percent-encoded, as is whatever is not
 * visible ASCII: a scope never looks like two.
 */
export function scopeList(scopes: readonly string[]): string {
  return scopes.map((scope) => headerText(scope).replaceAll(' ', '%20')).join(' ');
}

/** Text as a header may hold it: whatever is not visible ASCII is percent-encoded, as in an address. */
export function headerText(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]+/g, (part) => encodeURIComponent(part.toWellFormed()));
}
