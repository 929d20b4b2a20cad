const CHANGE = 'latchkey:change';

type AsyncMethod<Args extends unknown[], Result> = (...args: Args) => Promise<Result>;

/** Runs a change: `work` with the arguments of the call, in which the principal may be a newer one. */
type ChangeRunner = <Args extends unknown[], Result>(
  args: Args,
  work: (args: Args) => Promise<Result>,
) => Promise<Result>;

/** What runs the changes of a provider. By instance: there may be several applications in a process. */
const runners = new WeakMap<object, ChangeRunner>();

/**
 * Makes a method of a provider a change: it runs in a transaction, which its events commit with, and resolves once the
 * caches of this instance know what it changed. Called within another change it is part of that one. A change for a
 * caller takes their `Principal` among its arguments.
 */
export function Change() {
  return <Args extends unknown[], Result>(
    _prototype: object,
    name: string | symbol,
    descriptor: TypedPropertyDescriptor<AsyncMethod<Args, Result>>,
  ): void => {
    const method = descriptor.value;
    if (method === undefined) throw new Error(`@Change() belongs on a method, unlike ${String(name)}.`);
    descriptor.value = function (this: object, ...args: Args): Promise<Result> {
      const run = runners.get(this);
      if (run === undefined) throw new Error(`${String(name)} belongs to no provider of an application.`);
      return run(args, (current) => method.apply(this, current));
    };
    Reflect.defineMetadata(CHANGE, true, descriptor.value);
  };
}

/** Whether a method was made a change by `@Change()`. */
export function isChange(method: unknown): boolean {
  return typeof method === 'function' && Reflect.hasMetadata(CHANGE, method);
}

/** Sets how the changes of `provider` are run. */
export function runChangesOf(provider: object, run: ChangeRunner): void {
  runners.set(provider, run);
}
