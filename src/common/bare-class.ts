/** A class without members, for one to extend whose members are declared one by one from a table; say which in its type. */
export function bareClass(): new () => object {
  return class extends Object {};
}
