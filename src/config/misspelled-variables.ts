/** Shorter names, such as HOST, are close to too many that mean something else. */
const SHORTEST_NAME = 6;
const MOST_EDITS = 2;

/** A sentence for each variable that is no setting but nearly the name of one. */
export function misspelledVariables(given: readonly string[], settings: ReadonlySet<string>): string[] {
  return given
    .filter((name) => !settings.has(name))
    .flatMap((name) => {
      const meant = [...settings].find((setting) => isNearly(name, setting));
      return meant === undefined ? [] : [`${name} is not a setting of Latchkey. Did you mean ${meant}?`];
    });
}

function isNearly(name: string, setting: string): boolean {
  if (setting.length < SHORTEST_NAME || Math.abs(name.length - setting.length) > MOST_EDITS) return false;
  return editsBetween(name.toUpperCase(), setting) <= MOST_EDITS;
}

/** The Levenshtein distance: how many letters have to be added, removed or replaced. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_value, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
